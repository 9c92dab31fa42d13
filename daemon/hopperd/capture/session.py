"""One HTTP session for one account: connections, TLS, proxy, and no request sent twice behind our back."""

from __future__ import annotations

import netrc
import socket
import ssl
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from hopperd.settings import Account

KEEPALIVE_SECONDS: Final = 15.0  # shorter than servers usually keep one: few requests meet one that is being closed

# What is paid for must not meet one at all: a Run on a connection that the other side is just closing is a doubt. No
# server gives up a connection within a second; one that stood idle for longer is not used for a Run.
PAID_KEEPALIVE_SECONDS: Final = 1.0


def open_session(
    account: Account, authorization: str, keepalive_seconds: float = KEEPALIVE_SECONDS
) -> tuple[aiohttp.ClientSession, dict[str, Any]]:
    """The session, and what each request through it must be given besides.

    Our credentials are given to each request: as a default of the session aiohttp would hand them to the proxy, too.
    """
    session = aiohttp.ClientSession(
        connector=_connector(account, keepalive_seconds),
        headers={"Accept-Encoding": "identity", "User-Agent": "hopperd"},
        timeout=aiohttp.ClientTimeout(
            total=None, connect=account.connect_seconds, sock_connect=account.connect_seconds, ceil_threshold=3600
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,  # aiohttp would also look up our own host in ~/.netrc, and refuse to send two credentials
        requote_redirect_url=False,
    )
    # aiohttp sends GET, PUT and DELETE again by itself when a kept connection turns out to be lost. That would be a
    # request without a token, so it is switched off; the switch is private (aio-libs/aiohttp#10790). Where it is gone,
    # connections are not kept, for only on those does it send again.
    if hasattr(session, "_retry_connection"):
        session._retry_connection = False
    else:
        session._connector = _connector(account, None)
    given: dict[str, Any] = {"headers": {"Authorization": authorization}}
    proxy = _proxy(account)
    return session, given if proxy is None else given | {"proxy": proxy}


def _connector(account: Account, keepalive_seconds: float | None) -> aiohttp.TCPConnector:
    patience = max(1, round(account.stall_seconds))

    def make_socket(address: Any) -> socket.socket:
        family, kind, protocol = address[:3]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience * 1000)
        return made

    if keepalive_seconds is None:
        return aiohttp.TCPConnector(
            limit=0, ttl_dns_cache=60, force_close=True, socket_factory=make_socket, ssl=_tls(account)
        )
    return aiohttp.TCPConnector(
        limit=0,  # what may run at once is decided by admission.py, and a wait here would eat the time to connect
        ttl_dns_cache=60,
        keepalive_timeout=keepalive_seconds,
        socket_factory=make_socket,
        ssl=_tls(account),
    )


def _tls(account: Account) -> ssl.SSLContext | bool:
    """Never less than full verification; `ca_file` takes the place of the system's authorities."""
    if account.ca_file is None:
        return True
    return ssl.create_default_context(cafile=str(account.ca_file))


def _proxy(account: Account) -> URL | None:
    """The proxy of the settings, or with `trust_env` the environment's, with its password from there or ~/.netrc."""
    target = URL(account.url)
    proxy = URL(account.proxy) if account.proxy else None
    if proxy is None and account.trust_env and target.host is not None and not proxy_bypass(target.host):
        found = getproxies().get(target.scheme)
        proxy = URL(found) if found else None
    if proxy is not None and proxy.user is None and account.trust_env:
        user, password = _netrc_of(proxy.host or "")
        proxy = proxy.with_user(user).with_password(password) if user else proxy
    return proxy


def _netrc_of(host: str) -> tuple[str | None, str | None]:
    try:
        entry = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None, None
    return (entry[0], entry[2]) if entry else (None, None)
