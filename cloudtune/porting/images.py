"""Port the container image: a neutral name, or an image of another service."""

from cloudtune.planning.plan import Support
from cloudtune.porting.change import Change
from cloudtune.porting.frameworks import Framework, FrameworkImage, NoImage, NoRegion
from cloudtune.porting.words import ServiceWords, owner
from cloudtune.spec.fields import alternatives

_PATH = "trial.image"


def port_image(change: Change) -> None:
    """Replace a neutral name by this service's image, and an image of another service by its equivalent or the profile's own."""
    value = change.job.trial.image
    own = change.said(value) or change.default("image")
    if own is not None and (framework := Framework.parse(own)) is not None:
        _by_name(change, framework)
    elif own is not None and (meant := Framework.slip(own)) is not None:
        change.note(_PATH, Support.UNSUPPORTED, f"there is no image {own!r}; did you mean {meant!r}?")
    elif isinstance(value, str):
        _port(change, value, [value])
    elif value is not None and own is None:
        _port(change, next(iter(value.values())), list(value.values()))


def _by_name(change: Change, framework: Framework) -> None:
    try:
        found = _find(change, framework)
    except NoImage as error:
        change.note(_PATH, Support.UNSUPPORTED, str(error))
    except NoRegion as error:
        change.miss_setting(_PATH, "region", "…", f"{error}: in which do the jobs run?")
    else:
        if found is not None:
            _take(change, found.address, Support.ENCODED, _about(found))


def _port(change: Change, image: str, images: list[str]) -> None:
    """Replace an image of another service; leave one of this service, and of a registry that is no service's."""
    found = [(each, theirs) for each in images if (theirs := owner("image", each, change.words.provider)) is not None]
    if not found or change.words.knows("image", image):
        return
    for each, theirs in found:
        if (algorithm := _algorithm(change, each, theirs)) is not None:
            change.note(
                _PATH,
                Support.UNSUPPORTED,
                f"{each} is {theirs.service}'s own algorithm {algorithm}, which no other service has",
            )
            return
    image, theirs = found[0]
    same, near, why = _equivalents(change, theirs.images.recognise(image) if theirs.images is not None else None)
    default = change.default("image")
    if same is not None:
        _take(change, same.address, Support.APPROXIMATE, f"{_about(same)}: {image} is {theirs.service}'s")
    elif default is not None:
        _take(change, default, Support.APPROXIMATE, f"the profile's own: {image} is {theirs.service}'s")
    elif near is not None:
        _take(change, near.address, Support.APPROXIMATE, f"{_about(near)}, the nearest: {image} is {theirs.service}'s")
    else:
        message = f"{image} is {theirs.service}'s: which image do trials have on {change.words.service}?{why}"
        change.miss_setting(_PATH, "image", change.words.examples["image"], message)


def _algorithm(change: Change, image: str, theirs: ServiceWords) -> str | None:
    """Return the other service's own algorithm that a job runs by its image; None where it runs a program of the user's."""
    if theirs.images is None or change.job.trial.command is not None or change.job.trial.function is not None:
        return None
    return theirs.images.algorithm(image)


def _equivalents(
    change: Change, framework: Framework | None
) -> tuple[FrameworkImage | None, FrameworkImage | None, str]:
    """Return this service's image of the same minor version, else the nearest of the same major one; and why there is none."""
    if framework is None:
        return None, None, ""
    wanted = Framework(framework.name, ".".join(framework.version.split(".")[:2]))
    try:
        return _find(change, wanted), None, ""
    except NoImage as error:
        near = error.near
        same_major = near is not None and near.minor.numbers[0] == wanted.numbers[0]
        return None, near if same_major else None, f" {error}"
    except NoRegion as error:
        return None, None, f" {error}; without a region it is not known which it has"


def _find(change: Change, framework: Framework) -> FrameworkImage | None:
    images = change.words.images
    return None if images is None else images.find(framework, change.default("region"), gpu=_has_gpu(change))


def _has_gpu(change: Change) -> bool:
    compute = change.job.compute
    instance = next(iter(alternatives(compute.instance, change.words.provider)), change.default("instance"))
    return compute.accelerators is not None or (
        instance is not None and change.words.with_gpu.fullmatch(instance) is not None
    )


def _about(image: FrameworkImage) -> str:
    remark = f"; {image.remark}" if image.remark else ""
    return f"{image.framework} {image.version} ({image.source}{remark})"


def _take(change: Change, address: str, support: Support, why: str) -> None:
    if address != change.said(change.job.trial.image):
        change.note(_PATH, support, f"trials run in {address}, {why}")
        change.update("trial", image=change.replaced(change.job.trial.image, address))
