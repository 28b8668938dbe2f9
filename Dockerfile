# The offline predictor around one checkpoint: make image CHECKPOINT=me-vlip IMAGE=team:latest
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS packages
# Where pip finds packages depends on who builds; none of this reaches the final image.
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ARG PIP_TRUSTED_HOST
ARG PIP_CERT
RUN python3 -m venv /opt/venv
WORKDIR /build
COPY pyproject.toml constraints/predict.txt ./
# Byte code without timestamps, so that builds are reproducible; the packages' own tests and pip are left out.
RUN python3 -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']))" > needed.txt \
 && /opt/venv/bin/pip install --no-cache-dir --no-compile --disable-pip-version-check -c predict.txt -r needed.txt \
 && /opt/venv/bin/pip uninstall --yes --quiet pip \
 && find /opt/venv -name __pycache__ -prune -exec rm -rf {} + \
 && find /opt/venv -type d -path '*/site-packages/*' \( -name tests -o -name test \) ! -path '*/torch/*' -prune -exec rm -rf {} + \
 && PYTHONHASHSEED=0 python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x /torch/testing/ /opt/venv/lib \
 && find /opt/venv -exec touch -h -d 1980-01-01 {} +

FROM ${BASE_IMAGE}
ARG CHECKPOINT=demo
# The weights are the largest layer and change least, so they come before the packages and the code.
COPY checkpoints/${CHECKPOINT} /app/checkpoints/${CHECKPOINT}
COPY --from=packages /opt/venv /opt/venv
# The root file system may be read-only and the user id arbitrary: caches go to /tmp, the hub is off.
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
# Fails if the checkpoint is incomplete or altered, or if files are only readable by their owner.
RUN test -z "$(find /app ! -perm -o+r)" && PYTHONPATH=submission python -c "import os; from pathlib import Path; from mevlip.checkpoints.checkpoint import open_checkpoint; open_checkpoint(Path(os.environ['MEVLIP_CHECKPOINT']))"
# Labels come last: a new commit changes the labels, but no layer.
ARG BASE_IMAGE
ARG BASE_DIGEST
ARG VERSION=unknown
ARG REVISION=unknown
ARG LOCK=unknown
LABEL org.opencontainers.image.title="ME-VLIP predictor" \
      org.opencontainers.image.description="Answers a FLARE 2D question folder offline" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}" \
      org.me-vlip.checkpoint="${CHECKPOINT}" \
      org.me-vlip.lock-sha256="${LOCK}" \
      org.me-vlip.predictions-schema="1"
CMD ["sh", "predict.sh"]
