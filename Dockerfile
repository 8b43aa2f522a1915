# A small image that runs cloudtune as a user without rights: `docker build --build-arg EXTRAS=sagemaker -t cloudtune:0.1.0 .`
# Behind a mirror of registries: `--build-arg BASE=MIRROR/python:3.11-slim`.
ARG BASE=python:3.11-slim
FROM ${BASE} AS build
ARG EXTRAS=""
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY cloudtune ./cloudtune
COPY providers ./providers
COPY hydra_plugins ./hydra_plugins
RUN python -m venv /opt/cloudtune \
    && /opt/cloudtune/bin/pip install --no-cache-dir "/src${EXTRAS:+[$EXTRAS]}"

FROM ${BASE}
LABEL org.opencontainers.image.title="cloudtune" \
    org.opencontainers.image.description="One hyperparameter-tuning job, written once, run by any managed tuner or on your own machine." \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/cloudtune /opt/cloudtune
RUN useradd --create-home --uid 10001 tuner \
    && mkdir /work \
    && chown tuner:tuner /work
ENV PATH=/opt/cloudtune/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /work
ENTRYPOINT ["cloudtune"]
CMD ["--help"]
