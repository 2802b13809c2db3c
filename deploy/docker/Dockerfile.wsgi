# Django under gunicorn. Build it from the project's folder:
#   docker build --file deploy/docker/Dockerfile.wsgi --tag myproject .

# The tools stay in this stage.
FROM python:3.13-slim-bookworm AS build
COPY --from=ghcr.io/astral-sh/uv:0.13.8 /uv /usr/local/bin/uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /srv/myproject
# Packages first: this layer is built again only when the lock changes.
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-dev --no-install-project
COPY . .
# collectstatic reads the settings, so all that they ask for must be there. None of it is used or kept.
RUN SECRET_KEY=unused DATABASE_URL=sqlite:// REDIS_URL=redis:// \
    .venv/bin/python manage.py collectstatic --no-input

# nginx with the static files: `--target proxy`.
FROM nginx:1.30 AS proxy
# A stream takes two connections, and the image's own file allows a worker 1024.
RUN sed -i "s/worker_connections .*;/worker_connections 8192;/" /etc/nginx/nginx.conf \
    && ln -s /dev/stdout /var/log/nginx/myproject.log
COPY deploy/nginx/myproject /etc/nginx/myproject
COPY deploy/nginx/container.conf /etc/nginx/conf.d/default.conf
COPY --from=build /srv/myproject/public /srv/myproject/public

# What runs: the same Python, the packages, the project, and nobody's rights.
FROM python:3.13-slim-bookworm
ENV PYTHONUNBUFFERED=1 PATH=/srv/myproject/.venv/bin:$PATH
RUN useradd --system --uid 10001 --no-create-home app
WORKDIR /srv/myproject
COPY --from=build /srv/myproject /srv/myproject
USER 10001
EXPOSE 8000
# Asks the application as the proxy does, so SECURE_SSL_REDIRECT does not send it elsewhere.
# One worker a container (below), so there is none that the check could miss.
# "localhost" must be in ALLOWED_HOSTS.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import Request, urlopen; urlopen(Request('http://localhost:8000/healthz', headers={'X-Forwarded-Proto': 'https'}), timeout=2)"]
# A list, not a sentence: no shell stands between Docker and gunicorn, so SIGTERM arrives.
# More workers are more containers. Whose X-Forwarded-* headers to believe: FORWARDED_ALLOW_IPS.
CMD ["gunicorn", "--config", "deploy/gunicorn/gunicorn.conf.py", "--workers", "1", "--bind", "0.0.0.0:8000", "myproject.wsgi:application"]
