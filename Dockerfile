# The offline predictor around one checkpoint: make image CHECKPOINT=me-vlip IMAGE=team:latest
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS packages
# Where pip finds packages is the builder's matter; none of this reaches the final image.
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ARG PIP_TRUSTED_HOST
ARG PIP_CERT
RUN python3 -m venv /opt/venv
WORKDIR /build
COPY pyproject.toml constraints/predict.txt ./
RUN python3 -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']))" > needed.txt \
 && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check -c predict.txt -r needed.txt \
 && /opt/venv/bin/pip uninstall --yes --quiet pip

FROM ${BASE_IMAGE}
ARG CHECKPOINT=demo
LABEL org.opencontainers.image.title="ME-VLIP predictor" \
      org.opencontainers.image.licenses="Apache-2.0"
# The weights change least and weigh most, so they come before the packages and the code.
COPY checkpoints/${CHECKPOINT} /app/checkpoints/${CHECKPOINT}
COPY --from=packages /opt/venv /opt/venv
# The root file system may be read-only and the user any number: caches go to /tmp, the hub is off.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp \
    HF_HOME=/tmp/huggingface \
    HF_HUB_OFFLINE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MEVLIP_CHECKPOINT=/app/checkpoints/${CHECKPOINT}
WORKDIR /app
COPY predict.sh ./
COPY submission ./submission
# A build around an incomplete or altered checkpoint, or one that only its owner may read, fails here.
RUN test -z "$(find /app ! -perm -o+r)" && python -c "import os; from pathlib import Path; from submission.checkpoint import open_checkpoint; open_checkpoint(Path(os.environ['MEVLIP_CHECKPOINT']))"
CMD ["sh", "predict.sh"]
