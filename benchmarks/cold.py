"""`python -m benchmarks.cold SERVICES`: encode a namespace in a process that has encoded nothing yet.

The messages are those that `serve` has, without pydantic. Prints JSON: seconds of the View and of the encoding; how many
resources there are, and how many were encoded more than once.
"""

from __future__ import annotations

import json
import sys
import time

from tsunagu.translate.lean import lean_messages

with lean_messages():
    from benchmarks.xds import content
    from tsunagu.mesh.view import View
    from tsunagu.model import ids
    from tsunagu.translate.bundles import translate
    from tsunagu.translate.codec import Codec


def main() -> None:
    changes = [(ids.kind_of(one), one.meta.name, None, one) for one in content.mesh(int(sys.argv[1]))]
    codec = Codec()
    begun = time.perf_counter()
    view, touched = View.empty().apply(changes, 1)
    viewed = time.perf_counter()
    used_before = time.process_time()
    updates = translate(View.empty(), view, touched, codec)
    done, used = time.perf_counter(), time.process_time() - used_before
    resources = {(one.type_url, one.name) for update in updates for one in update.upserts}
    encoded = sum(codec.encoded.values())
    figures = {"view": viewed - begun, "encode": done - viewed, "encode_cpu": used}
    print(json.dumps({**figures, "resources": len(resources), "encoded_again": encoded - len(resources)}))


if __name__ == "__main__":
    main()
