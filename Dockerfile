# docker build -t triptych .                                    CPU (the default)
# docker build -t triptych --build-arg TORCH_INDEX_URL= .       the package index's own torch, with CUDA: some gigabytes
FROM python:3.11-slim-bookworm AS kernels
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY kernels kernels
COPY models/__init__.py models/
COPY models/native/__init__.py models/native/
RUN pip install --no-cache-dir --no-deps --target /built .

FROM python:3.11-slim-bookworm

# Ray starts many processes, some of which outlive their parent: PID 1 must reap them and pass SIGTERM on.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*

# What outlives a container lies in a folder of the user's own: a volume that is mounted there takes over its owner.
RUN useradd --create-home --uid 10001 triptych \
    && install --directory --owner triptych --group triptych --mode 700 /var/lib/triptych
WORKDIR /app

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# The dependencies alone, so that a change of the code does not install them again. Torch comes first and by itself: its
# index is asked for nothing else.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
COPY pyproject.toml constraints.txt ./
RUN pip install --no-deps --constraint constraints.txt ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} torch
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *p['optional-dependencies']['import'], sep='\n')" \
      > /tmp/requirements.txt \
    && pip install --constraint constraints.txt --requirement /tmp/requirements.txt \
    && rm /tmp/requirements.txt

COPY README.md LICENSE ./
COPY models models
COPY service service
COPY --from=kernels /built/models/native/_kernels*.so models/native/
# Editable: the shipped checkpoints stay at /app/models/checkpoints, where a registry of your own can be mounted over them.
RUN pip install --no-deps --editable . \
    && python -m compileall -q models service

USER triptych
ENV PYTHONUNBUFFERED=1 TRIPTYCH_STATE=/var/lib/triptych
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=90s --retries=3 \
    CMD ["python", "-ISc", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/readyz' % os.environ.get('TRIPTYCH_PORT', '8000'), timeout=3)"]
ENTRYPOINT ["tini", "--", "triptych"]
CMD ["serve", "--host", "0.0.0.0"]
