"""Models of timm: their specs, weights, heads and revisions, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
import torch
import vitbench_timm
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import save, save_file
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import nn
from vitbench_timm.models import build, class_names, members, resolve, revision

from vitbench.catalog.provenance import revision_of
from vitbench.errors import UnusableError, UsageError
from vitbench.planning.expand import default_recipe
from vitbench.specs import Preprocess

pytestmark = pytest.mark.compute


LISTED = {spec.name: spec for spec in vitbench_timm.vitbench_models() if spec.name != "*"}
TINY = "test_vit.r160_in1k"


def tiny(classes: int = 10, **kwargs) -> nn.Module:
    torch.manual_seed(1)
    return timm.create_model("test_vit", num_classes=classes, **kwargs)


@pytest.fixture
def checkpoint(tmp_path) -> str:
    """A checkpoint of the tiny model with a head for 10 classes."""
    save_file(tiny().state_dict(), tmp_path / "tiny.safetensors")
    return str(tmp_path / "tiny.safetensors")


def build_tiny(**options) -> nn.Module:
    arguments = {"num_classes": 10, "image_size": (160, 160), "in_channels": 3, "architecture": TINY}
    return build(**{**arguments, "pretrained": True, "checkpoint": "", "head": "new", **options})


def same_body(first: nn.Module, second: nn.Module) -> bool:
    others = second.state_dict()
    return all(torch.equal(t, others[k]) for k, t in first.state_dict().items() if not k.startswith("head."))


def preprocess_of(config) -> Preprocess:
    return Preprocess(
        mean=tuple(config.mean),
        std=tuple(config.std),
        interpolation=config.interpolation,
        crop_fraction=config.crop_pct,
        crop_mode=config.crop_mode,
    )


@pytest.mark.parametrize("name", LISTED)
def test_listed_by_hand_as_timm_has_it(name):
    ours, theirs = LISTED[name], timm.get_pretrained_cfg(name)
    assert theirs.has_weights
    assert (3, *ours.input_size) == theirs.input_size
    assert ours.in_channels is None, "so that other channels reach in_chans"
    assert ours.preprocess == preprocess_of(theirs)
    resolved = resolve(name)
    for field in ("options", "arguments", "pretrained_on", "licence", "downloads", "revision", "build", "requires"):
        assert getattr(ours, field) == getattr(resolved, field), field


def test_resolve_completes_a_name_without_a_tag():
    spec = resolve("deit_tiny_patch16_224")
    assert spec.arguments == {"architecture": "deit_tiny_patch16_224"}
    assert spec.pretrained_on == "ImageNet-1k"
    assert spec.preprocess == Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), crop_fraction=0.9)
    assert default_recipe(spec, {}) == "recipes/finetune"


def test_resolve_names_all_of_the_pretraining_data():
    assert resolve("vit_base_patch32_clip_224.laion2b_ft_in12k_in1k").pretrained_on == (
        "LAION-2B, ImageNet-12k, ImageNet-1k"
    )
    assert resolve("vit_base_patch16_224.mae").pretrained_on == "see timm's tag mae"


def test_the_classes_of_a_head_are_named_where_tag_and_number_say_which():
    known = class_names(architecture=TINY, pretrained=True)
    assert (len(known), known[0], known[217][0]) == (1000, ("n01440764", "tench", "Tinca tinca"), "n02102040")
    # The heads of 1,000 features of DINO are no classes.
    assert class_names(architecture="resmlp_12_224.fb_dino") == ((),) * 1000
    for name, first in (
        ("convnext_base.clip_laion2b_augreg_ft_in12k", "n00005787"),
        ("mobilenetv3_large_100.miil_in21k", "n00005787"),
        ("beit_base_patch16_224.in22k_ft_in22k", "n00004475"),
        ("focalnet_huge_fl3.ms_in22k", "n01440764"),
        ("vit_base_patch16_224.augreg_in21k", "n00004475"),
    ):
        named = class_names(architecture=name)
        assert (len(named), named[0][0]) == (timm.get_pretrained_cfg(name).num_classes, first)


def test_resolve_of_a_model_without_weights():
    spec = resolve("coatnet_0_224")
    assert spec.defaults["pretrained"] is True, "so that a user must say that it starts from nothing"
    assert (spec.pretrained_on, spec.downloads, spec.preprocess) == ("", False, None)
    assert spec.image_size == (224, 224)
    assert default_recipe(spec, {}) == "recipes/supervised"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_bas_patch16_224", r'^timm has no model vit_bas_patch16_224. Did you mean "vit_base_patch16_224"\?$'),
        ("vit_base_patch16_224.augreg_in22k", r'Did you mean "vit_base_patch16_224.augreg_in21k"\?$'),
        ("zzzzzz", r"^timm has no model zzzzzz\.$"),
        ("qwen3_vit_88m_enc.qwen3_5_0_8b", "no classifier"),
    ],
)
def test_resolve_refuses(name, message):
    with pytest.raises(LookupError, match=message):
        resolve(name)


def test_members_are_names_with_and_without_tags_that_resolve_completes():
    found = members("resnet18*")
    assert {"resnet18", "resnet18.a1_in1k"} <= set(found)
    assert found == sorted(set(found))
    assert [resolve(name).name for name in found] == found
    assert members("no_such_model*") == []
    encoder = next(name for name in timm.list_models() if timm.get_pretrained_cfg(name).classifier is None)
    assert members(encoder) == []


def test_resolve_takes_every_pretrained_name_or_refuses_it_with_a_sentence():
    refused = []
    for name in timm.list_pretrained():
        try:
            spec = resolve(name)
        except LookupError as error:
            refused.append(str(error))
        else:
            assert spec.pretrained_on
            assert spec.preprocess == preprocess_of(timm.get_pretrained_cfg(name))
    assert all("no classifier" in sentence for sentence in refused)
    assert len(refused) < 50


def test_architecture_alone_has_timm_s_own_head():
    model = build_tiny(pretrained=False)
    assert model.head.weight.any()
    assert model(torch.randn(2, 3, 160, 160)).shape == (2, 10)


def test_builds_without_memory_for_another_size_and_gray_images():
    with torch.device("meta"):
        model = build_tiny(pretrained=False, image_size=(32, 32), in_channels=1)
        assert model(torch.empty(2, 1, 32, 32)).shape == (2, 10)
        convolutional = build_tiny(pretrained=False, architecture="test_resnet", image_size=(32, 32))
        assert convolutional(torch.empty(2, 3, 32, 32)).shape == (2, 10)


def test_resolve_of_a_model_for_rectangles():
    spec = resolve("vit_base_patch16_sapiens2.fb")
    assert spec.image_size == (1024, 768)
    assert "1024x768 px" in spec.summary


@pytest.mark.parametrize("architecture", ["test_vit", "test_resnet"])
def test_rectangles_of_many_channels(architecture):
    model = build_tiny(pretrained=False, architecture=architecture, image_size=(32, 64), in_channels=5).eval()
    assert model(torch.randn(2, 5, 32, 64)).shape == (2, 10)


@pytest.mark.parametrize(("architecture", "size"), [("test_vit", 160), ("test_resnet", 160)])
def test_a_checkpoint_for_colour_is_adapted_to_other_channels_as_timm_does(architecture, size, tmp_path):
    source = timm.create_model(architecture, num_classes=10).eval()
    torch.save(source.state_dict(), tmp_path / "model.pt")
    arguments = {"architecture": architecture, "checkpoint": str(tmp_path / "model.pt"), "head": "own"}
    gray, six = (build_tiny(**arguments, in_channels=channels).eval() for channels in (1, 6))
    images = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        torch.testing.assert_close(gray(images[:, :1]), source(images[:, :1].expand(-1, 3, -1, -1)), atol=1e-4, rtol=0)
        torch.testing.assert_close(six(images.repeat(1, 2, 1, 1)), source(images), atol=1e-4, rtol=0)


def test_checkpoint_with_a_new_head(checkpoint):
    model = build_tiny(checkpoint=checkpoint, num_classes=7)
    assert same_body(model, tiny())
    assert model.head.weight.shape == (7, model.head.in_features)
    assert not model.head.weight.any()
    assert not model.head.bias.any()
    loss = nn.functional.cross_entropy(model(torch.randn(2, 3, 160, 160)), torch.tensor([0, 6]))
    assert loss.item() == pytest.approx(torch.tensor(7.0).log().item(), abs=1e-6)


def test_new_head_needs_none_in_the_checkpoint(tmp_path):
    save_file(tiny(classes=0).state_dict(), tmp_path / "encoder.safetensors")
    assert same_body(build_tiny(checkpoint=str(tmp_path / "encoder.safetensors")), tiny(classes=0))


@pytest.mark.parametrize("pretrained", [True, False])
def test_checkpoint_with_its_own_head(checkpoint, pretrained):
    model, source = build_tiny(checkpoint=checkpoint, head="own", pretrained=pretrained).eval(), tiny().eval()
    images = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        assert torch.equal(model(images), source(images))


def test_own_head_needs_as_many_classes(checkpoint):
    with pytest.raises(UnusableError, match=r"tiny.safetensors gives 10 classes and the data has 7"):
        build_tiny(checkpoint=checkpoint, head="own", num_classes=7)
    with pytest.raises(UnusableError, match=r"head of test_vit.r160_in1k gives 1000 classes and the data has 10"):
        build_tiny(head="own")


def test_checkpoint_of_another_architecture(tmp_path):
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "resnet.pt")
    with pytest.raises(
        UnusableError, match=r"resnet.pt does not fit .* missing \(first: cls_token\) and .* unexpected"
    ):
        build_tiny(checkpoint=str(tmp_path / "resnet.pt"))


def test_pretrained_weights_get_a_zero_head_even_for_as_many_classes(monkeypatch):
    create, asked = timm.create_model, []

    def fetched(name, pretrained, **kwargs):
        asked.append((name, pretrained))
        return create(name, **kwargs)

    monkeypatch.setattr(timm, "create_model", fetched)
    assert not build_tiny(num_classes=1000).head.weight.any()
    assert build_tiny(num_classes=1000, head="own").head.weight.any()
    assert asked == [(TINY, True), (TINY, True)]


@pytest.mark.parametrize("architecture", ["test_resnet", "test_efficientnet", "deit_tiny_distilled_patch16_224"])
def test_every_kind_of_head_starts_at_zero(architecture, tmp_path):
    torch.save(timm.create_model(architecture, num_classes=10).state_dict(), tmp_path / "model.pt")
    size = timm.get_pretrained_cfg(architecture).input_size[-1]
    model = build_tiny(architecture=architecture, image_size=(size, size), checkpoint=str(tmp_path / "model.pt")).eval()
    with torch.inference_mode():
        assert not model(torch.randn(1, 3, size, size)).any()


@pytest.mark.parametrize("architecture", ["test_vit", "deit_tiny_distilled_patch16_224"])
def test_a_checkpoint_of_images_of_another_size_gets_other_positions(architecture, tmp_path):
    own = timm.create_model(architecture, num_classes=10)
    torch.save(own.state_dict(), tmp_path / "model.pt")
    path = str(tmp_path / "model.pt")
    model = build_tiny(architecture=architecture, image_size=(96, 64), checkpoint=path, head="own")
    expected = timm.create_model(architecture, num_classes=10, img_size=(96, 64))
    expected.load_state_dict(checkpoint_filter_fn(own.state_dict(), expected))
    assert all(torch.equal(tensor, expected.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert model.facts["positions"] == "interpolated by timm for 96x64 pixels"
    with pytest.raises(UsageError, match=r"^patches of 16x16 pixels do not divide the input of 100x64: use another"):
        build_tiny(architecture=architecture, image_size=(100, 64), checkpoint=path)


def test_no_network_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UnusableError, match=r"^timm/test_vit.r160_in1k: .* could not be fetched .* pretrained=false$"):
        build_tiny()


def cached(folder: Path, content: bytes, *, commit: str, name: str = "model.safetensors", link: bool = True) -> str:
    """Write a file into a cache as huggingface_hub does, and return its SHA-256."""
    sha256 = hashlib.sha256(content).hexdigest()
    repository = folder / "models--timm--test_vit.r160_in1k"
    snapshot, blob = repository / "snapshots" / commit / name, repository / "blobs" / sha256
    for path in (snapshot, blob, repository / "refs" / "main"):
        path.parent.mkdir(parents=True, exist_ok=True)
    (blob if link else snapshot).write_bytes(content)
    if link:
        snapshot.symlink_to(Path("../../blobs") / sha256)
    (repository / "refs" / "main").write_text(commit)
    return sha256


@pytest.fixture
def hub_cache(monkeypatch, tmp_path) -> Path:
    """An empty cache, and a hub that is not asked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_the_revision_takes_the_options_of_its_models(hub_cache):
    for spec in (*LISTED.values(), resolve(TINY)):
        assert revision_of(spec.name, spec, spec.defaults, online=False) == ""


@pytest.mark.parametrize("link", [True, False], ids=["links", "copies"])
def test_the_revision_is_that_of_the_weights_which_the_cache_gives(hub_cache, link):
    def found() -> str:
        return revision(online=False, architecture=TINY)

    assert found() == ""
    weights = save(tiny(classes=1000).state_dict())
    first = cached(hub_cache, weights, commit="a" * 40, link=link)
    assert found() == first
    assert same_body(build_tiny(), tiny(classes=1000))
    cached(hub_cache, weights, commit="b" * 40, link=link)
    assert found() == first, "a new commit of the same weights"
    other = cached(hub_cache, save(timm.create_model("test_vit").state_dict()), commit="c" * 40, link=link)
    assert found() == other != first
    assert not same_body(build_tiny(), tiny(classes=1000))
    assert revision(online=False, architecture="test_resnet.r160_in1k") == ""


def test_the_hub_is_asked_first_where_it_answers(hub_cache, monkeypatch):
    answers: dict[str, object] = {"model.safetensors": "new"}

    def metadata(url: str) -> SimpleNamespace:
        answer = answers[url.rpartition("/")[2]]
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(etag=answer)

    monkeypatch.setattr("vitbench_timm.models.get_hf_file_metadata", metadata)
    old = cached(hub_cache, b"old", commit="a" * 40)
    assert revision(online=True, architecture=TINY) == "new"
    assert revision(online=False, architecture=TINY) == old
    answers["model.safetensors"] = OSError("no answer")
    assert revision(online=True, architecture=TINY) == old
    answers |= {"model.safetensors": EntryNotFoundError("gone"), "pytorch_model.bin": "pickled"}
    assert revision(online=True, architecture=TINY) == "pickled"


def test_bad_options():
    with pytest.raises(UsageError, match='head must be "new" or "own", not "old"'):
        build_tiny(head="old")
    with pytest.raises(UsageError, match="no pretrained weights for coatnet_0_224"):
        build_tiny(architecture="coatnet_0_224")
