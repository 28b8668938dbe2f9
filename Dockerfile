# The offline predictor around one checkpoint: make image CHECKPOINT=me-vlip IMAGE=team:latest
ARG BASE_IMAGE=python:3.11-slim-bookworm
ARG PLATFORM=linux/amd64

FROM --platform=${PLATFORM} ${BASE_IMAGE} AS packages
# Where pip finds packages depends on who builds; none of this reaches the final image.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ARG PIP_TRUSTED_HOST
ARG PIP_CERT
# cuda13 or cuda12: which torch; REQUIRE_CUDA and DRIVER below go with it (`mevlip image build --cuda` sets all three).
ARG CUDA=cuda13
WORKDIR /build
COPY pyproject.toml constraints/predict.txt constraints/${CUDA}.txt ./
# Byte code without timestamps, so that builds are reproducible. Left out is what no run needs: the packages' own tests,
# console scripts, pip, and what packages require for work that is not done here.
RUN python3 -m venv /opt/venv \
 && python3 -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']))" > needed.txt \
 && sed '/^torch==/d' predict.txt > common.txt \
 && /opt/venv/bin/pip install --no-cache-dir --no-compile --disable-pip-version-check -c common.txt -c ${CUDA}.txt -r needed.txt \
 && /opt/venv/bin/pip uninstall --yes --quiet hf-xet joblib scikit-learn scipy setuptools threadpoolctl pip \
 && find /opt/venv/bin -type f ! -name 'python*' -delete \
 && find /opt/venv -name __pycache__ -prune -exec rm -rf {} + \
 && find /opt/venv -type d -path '*/site-packages/*' \( -name tests -o -name test -o -name test_files \) ! -path '*/torch/*' -prune -exec rm -rf {} + \
 && PYTHONHASHSEED=0 python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x /torch/testing/ /opt/venv/lib \
 && mkdir -p /tree/opt && mv /opt/venv /tree/opt/venv \
 && find /tree -exec touch -h -d 1980-01-01 {} +

FROM --platform=${PLATFORM} ${BASE_IMAGE} AS files
ARG CHECKPOINT=demo
COPY checkpoints/${CHECKPOINT} /weights/app/checkpoints/${CHECKPOINT}
COPY predict.sh /code/app/
COPY submission /code/app/submission
# A builder gives folders that it makes the current time; copied from here they keep this one, and layers their digests.
RUN find /weights /code -type d -exec touch -d 1980-01-01 {} +

FROM --platform=${PLATFORM} ${BASE_IMAGE}
ARG CHECKPOINT=demo
# The weights are the largest layer and change least, so they come before the packages and the code.
COPY --from=files /weights/ /
COPY --from=packages /tree/ /
# The root file system may be read-only and the user id arbitrary: caches go to /tmp, the hub is off.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp \
    HF_HOME=/tmp/huggingface \
    HF_HUB_OFFLINE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MEVLIP_CHECKPOINT=/app/checkpoints/${CHECKPOINT}
COPY --from=files /code/ /
WORKDIR /app
# Fails if the checkpoint is incomplete or altered, or if files are only readable by their owner.
RUN test -z "$(find /app ! -perm -o+r)" && PYTHONPATH=submission python -c "import os; from pathlib import Path; from mevlip.checkpoints.checkpoint import open_checkpoint; open_checkpoint(Path(os.environ['MEVLIP_CHECKPOINT']))"
# NVIDIA's container toolkit gives the container its GPU, and refuses a driver that is too old, before anything runs.
ARG CUDA=cuda13
ARG REQUIRE_CUDA=cuda>=13.0
ARG DRIVER=580
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_REQUIRE_CUDA="${REQUIRE_CUDA}"
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
      org.me-vlip.cuda="${CUDA}" \
      org.me-vlip.driver="${DRIVER}" \
      org.me-vlip.lock-sha256="${LOCK}" \
      org.me-vlip.predictions-schema="1"
CMD ["sh", "predict.sh"]
