"""What keeps the authorities of a control plane from starting."""

import pytest

from tsunagu.ca.parts import CaSettings, CertificateAuthority
from tsunagu.ca.refusals import BadAuthority
from tsunagu.model import ids
from tsunagu.registry.objects import Registry
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.testing.clock import ManualClock
from tsunagu.v1 import identities_pb2


def authority(folder, trust_domain):
    return CertificateAuthority(CaSettings(folder, trust_domain=trust_domain), b"k" * 32, ManualClock())


@pytest.mark.parametrize("asked", ["", "mesh.example"])
async def test_the_trust_domain_that_a_mesh_has_may_be_asked_for(tmp_path, asked):
    await authority(tmp_path, asked).check(await registry("mesh.example"))


async def test_a_mesh_without_certificates_may_have_any(tmp_path):
    await authority(tmp_path, "mesh.example").check(Registry(MemoryStore()))


async def test_another_trust_domain_than_that_of_the_first_certificates_is_refused(tmp_path):
    words = r"the trust domain of this mesh is tsunagu.local, and --trust-domain \(TSUNAGU_TRUST_DOMAIN\) says mesh.example; .*leave it out"
    with pytest.raises(BadAuthority, match=words):
        await authority(tmp_path, "mesh.example").check(await registry("tsunagu.local"))


async def registry(trust_domain):
    made = Registry(MemoryStore())
    await made.put(ids.make("TrustBundle", "default", identities_pb2.TrustBundle(trust_domain=trust_domain)))
    return made
