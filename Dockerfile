# Two stages: what builds stays behind, what runs is an interpreter, one virtual environment and no root.
# Build from the top of the checkout:  docker build -t identity-service .
# The interpreter is the one that the tests run on.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
WORKDIR /build

# The packages first, the code after them: a change of code reuses this layer.
COPY requirements/installer.txt requirements/runtime.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/installer.txt \
    && python -m venv --without-pip /opt/identity \
    && uv pip sync --no-cache --require-hashes --compile-bytecode \
        --python /opt/identity/bin/python requirements/runtime.txt

COPY setup.cfg pyproject.toml README.md ./
COPY requirements/runtime.in requirements/
COPY graph graph
COPY sms sms
COPY identity_service identity_service
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && uv pip install --no-cache --no-deps --compile-bytecode \
        --python /opt/identity/bin/python dist/*.whl


FROM python:${PYTHON}-slim
# A fixed number, so that volumes and orchestrators can name the owner.
RUN groupadd --gid 10001 identity \
    && useradd --uid 10001 --gid identity --no-create-home --home-dir /srv/identity \
        --shell /usr/sbin/nologin identity \
    && install --directory --owner identity --group identity --mode 0750 /srv/identity
COPY --from=build /opt/identity /opt/identity

ENV PATH=/opt/identity/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    IDENTITY_ENV=production
USER 10001:10001
WORKDIR /srv/identity
EXPOSE 8000

# Without proxies: an HTTP_PROXY meant for the providers must not be asked about this container.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", \
    "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/readyz', timeout=4)"]

# One process that handles SIGTERM itself, so no init is needed. The worker is the same image
# with the command `identity worker`.
CMD ["identity", "serve", "--host", "0.0.0.0", "--port", "8000"]
