"""Complete a timm name into a spec, and build it: pretrained weights, a checkpoint, or the architecture alone.

Weights, preprocessing and names are timm's (https://github.com/huggingface/pytorch-image-models). A new head starts
at zero, as the ViT paper fine-tunes (arXiv 2010.11929, section 3.2).
"""

from __future__ import annotations

import hashlib
import sys
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import timm
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError
from timm.data import ImageNetInfo, infer_imagenet_subset
from timm.models import adapt_input_conv
from torch import Tensor, nn

from vitbench import ModelSpec, Preprocess
from vitbench.errors import UnusableError, UsageError, did_you_mean, reason_of
from vitbench.training.checkpoint import POSITIONS, State, load_state, read_state

from . import BUILD, CLASS_NAMES, OPTIONS, REVISION


def resolve(name: str) -> ModelSpec:
    """Return the spec of a timm model, with or without a tag: ``resnet18``, ``vit_base_patch16_224.dino``.

    Raises:
        LookupError: timm has no such model or tag, or the model is no classifier.
    """
    config = _configuration(name)
    _, height, width = config.input_size
    trained = bool(config.has_weights)
    on = _pretraining_data(config.tag) if trained else ""
    size = height if height == width else f"{height}x{width}"
    return ModelSpec(
        name=name,
        build=BUILD,
        summary=f"{config.architecture}, {on or 'no pretrained weights'}, {size} px",
        source=f"https://huggingface.co/{config.hf_hub_id}" if config.hf_hub_id else config.url or "timm",
        image_size=(height, width),
        any_size=True,
        preprocess=_preprocess(config) if trained else None,
        checkpoint_preprocess=None if trained else _preprocess(config),
        options=OPTIONS,
        arguments={"architecture": name},
        pretrained_on=on,
        licence=_licence(config) if trained else "",
        downloads=trained,
        revision=REVISION if trained else None,
        class_names=CLASS_NAMES,
        requires=("timm",),
    )


def members(pattern: str) -> list[str]:
    """Return the names of timm's models that fit a pattern, with and without tags: those that `resolve` completes."""
    return [name for name in sorted(set(_names())) if fnmatchcase(name, pattern) and _is_taken(name)]


def _is_taken(name: str) -> bool:
    try:
        resolve(name)
    except LookupError:
        return False
    return True


def build(
    *,
    num_classes: int,
    image_size: tuple[int, int],
    in_channels: int,
    architecture: str,
    pretrained: bool,
    checkpoint: str,
    head: str,
) -> nn.Module:
    """Return a timm model that maps ``[B, C, H, W]`` to logits ``[B, K]``.

    Args:
        num_classes, image_size, in_channels: K, (H, W), C. Weights for colour images are adapted to other channels, as
            timm does it: repeated and scaled, or summed for gray.
        architecture: a timm name, with or without a tag.
        pretrained: take the tag's weights from the hub, unless `checkpoint` is given.
        checkpoint: path of a state dict of the same architecture; empty for none.
        head: for a model with weights, ``new`` is a zero-initialised head for K classes, ``own`` the weights' head.

    Raises:
        UsageError: an unknown `head`, or weights that have none.
        UnusableError: the model's own head has not K classes, the hub cannot be reached, or the checkpoint cannot be
            read or does not fit.
    """
    if head not in ("new", "own"):
        raise UsageError(f'head must be "new" or "own", not "{head}"')
    config = _configuration(architecture)
    from_hub = pretrained and not checkpoint
    if from_hub and not config.has_weights:
        raise UsageError(f"timm has no pretrained weights for {architecture}; give checkpoint=PATH or pretrained=false")
    if from_hub and head == "own":
        _check_own_head(architecture, config.num_classes, num_classes)
    resized = config.fixed_input_size and image_size != tuple(config.input_size[1:])
    size: dict[str, Any] = {"img_size": image_size} if resized else {}
    sides = "{}x{}".format(*image_size)
    try:
        model: nn.Module = timm.create_model(
            architecture, pretrained=from_hub, num_classes=num_classes, in_chans=in_channels, **size
        )
    except (AssertionError, TypeError, ValueError, RuntimeError) as error:
        if not resized or (isinstance(error, RuntimeError) and "size mismatch" not in str(error)):
            raise
        words = f"timm/{architecture} does not take images of {sides} pixels: {reason_of(error)}"
        raise UsageError(words) from error
    except OSError as error:  # what huggingface_hub and urllib raise for a missing network, host or file
        raise UnusableError(
            f"timm/{architecture}: pretrained weights could not be fetched from the hub; "
            "give checkpoint=PATH or pretrained=false"
        ) from error
    classifiers = _classifiers(config)
    if resized:
        _check_patches(model, image_size)
    if checkpoint:
        _load(model, checkpoint, config, num_classes=num_classes, in_channels=in_channels, head=head, sides=sides)
    elif from_hub and resized:
        model.facts = {POSITIONS: f"interpolated by timm for {sides} pixels"}  # type: ignore[assignment]
    if head == "new" and (from_hub or checkpoint):
        for classifier in classifiers:
            for parameter in model.get_submodule(classifier).parameters():
                nn.init.zeros_(parameter)
    return model


def class_names(*, architecture: str, **_: object) -> tuple[tuple[str, ...], ...]:
    """Return the names of the classes that a tag's head knows: WordNet ids and words, where timm says which it has.

    It is asked of the tag and of the number of classes, since either alone may be that of something else: there are
    heads of 1,000 features that are no classes. Of a head of which nothing is known, each class has no name.

    Args:
        architecture: a timm name, with or without a tag.
    """
    config = _configuration(architecture)
    subset = infer_imagenet_subset({"num_classes": config.num_classes})
    if subset is None or not any(word in _DATA and word.startswith("in") for word in config.tag.split("_")):
        return ((),) * config.num_classes
    known = ImageNetInfo(subset)
    # The words of one class are separated by commas: "tench, Tinca tinca".
    return tuple((name, *known.label_name_to_description(name).split(", ")) for name in known.label_names())


def revision(*, online: bool, architecture: str, **_: object) -> str:
    """Return the hash of the file that holds the hub's weights of a model; empty where it is not known.

    A file that Git LFS keeps, as all large ones are, has its SHA-256 for an etag
    (https://huggingface.co/docs/huggingface_hub/guides/manage-cache), so a commit that changes the model's card alone
    counts for nothing. Of weights that timm names by an URL this is the revision, where they can be had.

    Args:
        online: whether the hub may be asked what it has now; where it does not answer, the copy in the cache counts,
            which is what would be loaded, too.
        architecture: a timm name, with or without a tag.
    """
    config = _configuration(architecture)
    if not config.hf_hub_id:
        url = config.url or ""
        return url if online or _is_downloaded(url) else ""
    repository, _, commit = config.hf_hub_id.partition("@")
    for name in _weight_files(config.hf_hub_filename):
        try:
            found = _etag_on_hub(repository, name, commit) if online else ""
        except EntryNotFoundError:
            continue  # the hub has no such file, whatever it had before
        if found := found or _etag_in_cache(repository, name, commit):
            return found
    return ""


def _is_downloaded(url: str) -> bool:
    return Path(torch.hub.get_dir(), "checkpoints", PurePosixPath(urlsplit(url).path).name).is_file()


def _weight_files(name: str | None) -> list[str]:
    """Return the files that timm looks for, in its order: safetensors first."""
    others = {
        "pytorch_model.bin": "model.safetensors",
        "open_clip_pytorch_model.bin": "open_clip_model.safetensors",
    }
    name = name or "pytorch_model.bin"
    safe = others.get(name, f"{name.removesuffix('.bin')}.safetensors")
    return [safe, name] if name.endswith(".bin") else [name]


def _etag_on_hub(repository: str, name: str, commit: str) -> str:
    """Return the etag of a file on the hub; empty where it does not answer.

    Raises:
        EntryNotFoundError: there is no such file.
    """
    try:
        return get_hf_file_metadata(hf_hub_url(repository, name, revision=commit or None)).etag or ""
    except EntryNotFoundError:
        raise
    except Exception:  # those of its HTTP client, which is not the same in all versions
        return ""


def _etag_in_cache(repository: str, name: str, commit: str) -> str:
    """Return the etag of a downloaded file, by which its blob is called; where links cannot be made, its SHA-256."""
    path = try_to_load_from_cache(repository, name, revision=commit or None)
    if not isinstance(path, str):
        return ""
    blob = Path(path).resolve()
    if blob.parent.name == "blobs":
        return blob.name
    with blob.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _configuration(name: str) -> Any:
    """Return timm's PretrainedCfg of a classifier, or raise LookupError with a sentence."""
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # a known architecture, an unknown tag
        config = None
    if config is None:
        raise LookupError(f"timm has no model {name}.{did_you_mean(name, _names())}")
    if config.classifier is None:
        raise LookupError(f"timm/{name} is an encoder with no classifier in timm; use one that has a head")
    return config


def _names() -> list[str]:
    return [*timm.list_models(), *timm.list_pretrained()]


_DATA = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "jft": "JFT-300M",
    "laion400m": "LAION-400M",
    "laion2b": "LAION-2B",
    "openai": "WIT-400M",
    "webli": "WebLI",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
    "yfcc15m": "YFCC-15M",
    "yfcc100m": "YFCC-100M",
    "ig1b": "Instagram-1B",
    "seer": "Instagram-1B",
    "laiona": "LAION-A",
    "merged2b": "Merged-2B",
    "datacompxl": "DataComp-1B",
    "datacomp1b": "DataComp-1B",
    "dfn2b": "DFN-2B",
    "dfn5b": "DFN-5B",
    "metaclip": "MetaCLIP",
    "cc12m": "CC12M",
}


_SPDX = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0",
    "bsd-3-clause": "BSD-3-Clause",
    "unknown": "",
}
"""By what timm has."""


def _pretraining_data(tag: str) -> str:
    """Return the data that a tag's words name, in order; where they name none, the tag itself."""
    return ", ".join(dict.fromkeys(_DATA[word] for word in tag.split("_") if word in _DATA)) or f"see timm's tag {tag}"


def _licence(config: Any) -> str:
    """Return the licence of the weights as timm states it, with SPDX's spelling of those that timm names."""
    stated = config.license or ""
    return _SPDX.get(stated.lower(), stated)


def _preprocess(config: Any) -> Preprocess:
    return Preprocess(
        mean=tuple(config.mean),
        std=tuple(config.std),
        interpolation=config.interpolation,
        crop_fraction=config.crop_pct,
        crop_mode=config.crop_mode,
    )


def _classifiers(config: Any) -> tuple[str, ...]:
    """Return the names of a model's heads: one, or two where it is distilled."""
    return (config.classifier,) if isinstance(config.classifier, str) else tuple(config.classifier)


def _check_own_head(weights: str, num_own: int, num_classes: int) -> None:
    if num_own != num_classes:
        raise UnusableError(
            f"the head of {weights} gives {num_own} classes and the data has {num_classes}; head=own needs equal "
            "counts, head=new makes a new head"
        )


def _load(
    model: nn.Module, path: str, config: Any, *, num_classes: int, in_channels: int, head: str, sides: str
) -> None:
    """Load a checkpoint whole, or all of it but the heads.

    Its first convolution is adapted to other channels, its positions are interpolated for images of another size.
    """
    read = read_state(path, names=model.state_dict())
    state, classifiers = _adapted(read, config, in_channels), _classifiers(config)
    if head == "own":
        weight = state.get(f"{classifiers[0]}.weight")
        if weight is not None:
            _check_own_head(f"checkpoint {path}", len(weight), num_classes)
    else:
        prefixes = tuple(f"{classifier}." for classifier in classifiers)
        body = {name: tensor for name, tensor in state.items() if not name.startswith(prefixes)}
        state = body | {name: tensor for name, tensor in model.state_dict().items() if name.startswith(prefixes)}
    moved = _interpolated(model, state, path)
    load_state(model, State.of({**state, **moved}, read.taken), source=path)
    if moved:
        words = f"interpolated by timm for {sides} pixels"
        model.facts = {**getattr(model, "facts", {}), POSITIONS: words}  # type: ignore[assignment]


def _check_patches(model: nn.Module, image_size: tuple[int, int]) -> None:
    """Refuse a size that patches do not divide: timm would leave out what is over, without a word."""
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    patch = (patch, patch) if isinstance(patch, int) else patch
    if isinstance(patch, tuple) and any(side % part for side, part in zip(image_size, patch, strict=True)):
        sides, parts = ("{}x{}".format(*size) for size in (image_size, patch))
        raise UsageError(f"patches of {parts} pixels do not divide the input of {sides}: use another image_size")


def _interpolated(model: nn.Module, state: dict[str, Tensor], path: str) -> dict[str, Tensor]:
    """Return the weights that depend on the size of the images, where they are of another: as timm's own filter does.

    Raises:
        UnusableError: timm's filter does not understand them.
    """
    own = model.state_dict()
    other = [name for name, tensor in state.items() if name in own and own[name].shape != tensor.shape]
    other = [name for name in other if not name.endswith("patch_embed.proj.weight")]  # of another size of patches
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if not other or convert is None:
        return {}
    try:
        converted = convert(dict(state), model)
    except Exception as error:
        raise UnusableError(
            f"checkpoint {path} does not fit the model at this size: timm cannot convert it ({reason_of(error)})"
        ) from error
    return {name: converted[name] for name in other if name in converted and converted[name].shape == own[name].shape}


def _adapted(state: dict[str, Tensor], config: Any, in_channels: int) -> dict[str, Tensor]:
    """Return weights whose first convolutions take so many channels, from those for the architecture's own."""
    first = (config.first_conv,) if isinstance(config.first_conv, str) else tuple(config.first_conv or ())
    weights = {f"{name}.weight" for name in first}
    own = config.input_size[0]
    return {
        name: adapt_input_conv(in_channels, tensor, own)
        if name in weights and tensor.ndim == 4 and tensor.shape[1] == own != in_channels
        else tensor
        for name, tensor in state.items()
    }
