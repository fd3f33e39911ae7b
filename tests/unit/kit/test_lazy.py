import sys

import pytest

from tsunagu.kit.lazy import absent, bare, getattr_of


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a module `parts` (which has the name `Part`) and lazy names."""
    folder = tmp_path / "lazy_sample"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from tsunagu.kit.lazy import getattr_of\n"
        "__getattr__ = getattr_of(__name__, {'Part': 'lazy_sample.parts', 'parts': 'lazy_sample.parts'})\n"
    )
    (folder / "parts.py").write_text("class Part: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("lazy_sample")
    for name in [name for name in sys.modules if name.startswith("lazy_sample")]:
        del sys.modules[name]


def test_a_name_is_imported_when_it_is_first_used(package):
    assert "lazy_sample.parts" not in sys.modules
    assert package.Part.__module__ == "lazy_sample.parts"
    assert "Part" in vars(package)


def test_a_module_is_a_name_like_any_other(package):
    assert package.parts is sys.modules["lazy_sample.parts"]


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match=r"module 'tsunagu\.kit' has no attribute 'nothing'"):
        getattr_of("tsunagu.kit", {})("nothing")


def test_a_library_that_is_left_out_can_be_imported_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    with absent("wave"), pytest.raises(ModuleNotFoundError):
        import wave
    import wave

    assert wave.open


def test_what_was_imported_before_stays():
    import wave

    with absent("wave"):
        import wave as again
    assert again is wave


def test_a_submodule_comes_without_its_package_and_the_package_later_with_it(tmp_path, monkeypatch):
    folder = tmp_path / "heavy_sample"
    folder.mkdir()
    (folder / "__init__.py").write_text("from heavy_sample import part\nloaded = True\n")
    (folder / "part.py").write_text("from heavy_sample import other\n")
    (folder / "other.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with bare("heavy_sample"):
        from heavy_sample import part
    assert "heavy_sample" not in sys.modules
    import heavy_sample

    assert heavy_sample.loaded
    assert heavy_sample.part is part
    for name in [name for name in sys.modules if name.startswith("heavy_sample")]:
        del sys.modules[name]


def test_a_package_that_is_not_there():
    with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"), bare("nothing_of_this_name"):
        pass
