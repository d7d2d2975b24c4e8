"""One runnable transport per file: `python -m labs.servers.http_polling --port 0`."""
