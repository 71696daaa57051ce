# SPDX-License-Identifier: GPL-3.0-or-later
# dialin in a container; see docs/docker.md. Build: docker build -t dialin .
FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/dialin
WORKDIR /source
# Before the sources, so that a change of ours does not install everything anew.
COPY requirements/run.txt requirements/
RUN /opt/dialin/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY dialin dialin
RUN /opt/dialin/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="dialin" \
    org.opencontainers.image.description="The telephone door to BigBlueButton meetings" \
    org.opencontainers.image.licenses="GPL-3.0-or-later"
RUN useradd --system --home-dir /var/lib/dialin --create-home --shell /usr/sbin/nologin dialin \
    && chmod 700 /var/lib/dialin
COPY --from=build /opt/dialin /opt/dialin
ENV PATH=/opt/dialin/bin:$PATH \
    CREDENTIALS_DIRECTORY=/run/secrets \
    PYTHONUNBUFFERED=1
USER dialin
VOLUME /var/lib/dialin
STOPSIGNAL SIGTERM
# The port is web.port; a service without a web listener has no health to ask for.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s CMD \
    ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('DIALIN_WEB__PORT', '8080') + '/healthz', timeout=4)"]
ENTRYPOINT ["dialin"]
CMD ["run", "--config", "/etc/dialin/dialin.toml"]
