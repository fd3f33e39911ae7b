"""A raw resource hides what translation says of its name until it is taken away."""

from tsunagu.translate.overlay import Overlay
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.resources import LDS, Resource

FIRST = Resource.of(LDS, "x", b"\n\x01x\x12\x00")
SECOND = Resource.of(LDS, "x", b"\n\x01x")
RAW = Resource.of(LDS, "x", b"\xff")


def test_it_hides_and_brings_back_what_translation_says_by_then():
    overlay = Overlay()
    update = BundleUpdate("ns/shop", (FIRST,))
    assert overlay.follow([update]) == (update,)
    assert overlay.lay("ns/shop", RAW) == BundleUpdate("ns/shop", (RAW,))
    assert overlay.follow([BundleUpdate("ns/shop", (SECOND,))]) == ()
    assert overlay.lift("ns/shop", LDS, "x") == BundleUpdate("ns/shop", (SECOND,))
    assert overlay.lift("ns/shop", LDS, "x") is None


def test_what_translation_takes_away_meanwhile_goes_when_the_overlay_does():
    overlay = Overlay()
    overlay.follow([BundleUpdate("ns/shop", (FIRST,))])
    overlay.lay("ns/shop", RAW)
    other = BundleUpdate("ns/shop", (Resource.of(LDS, "y", b""),), ((LDS, "x"),))
    assert overlay.follow([other]) == (BundleUpdate("ns/shop", other.upserts),)
    assert overlay.lift("ns/shop", LDS, "x") == BundleUpdate("ns/shop", (), ((LDS, "x"),))
