#!/usr/bin/env python3
"""Runs Mercurial's own hgweb as a CGI script, for one repository or for the index of those that are published.

usage: hgweb.cgi repository PATH NAME
       hgweb.cgi index STATIC-URL      reads NAME\\0PATH\\0 ... on standard input

fcgi2cgi decides which repository that is and sets SCRIPT_NAME and PATH_INFO to fit (RFC 3875 section 3.3);
FCGI2CGI_HG_MODULES is the directory of the `mercurial` package, FCGI2CGI_HGWEB_CONFIG the user's own settings.
"""

import gc
import os
import sys
from urllib.parse import quote

# What this process leaves, it leaves soon: to look for garbage less often saves a twentieth of its time.
gc.set_threshold(20_000)

# This script's own directory has nothing to import; Mercurial's may be one that this Python would not look into.
modules = os.path.dirname(os.environ.pop('FCGI2CGI_HG_MODULES', ''))
sys.path[:1] = [] if modules in sys.path else [modules]

from mercurial import demandimport

# As Mercurial's own hgweb.cgi does: half of a page's time would be modules that it has no use for.
demandimport.enable()

from mercurial import extensions, hg, ui as uimod
from mercurial.hgweb import hgweb_mod, hgwebdir_mod, request as requestmod, wsgicgi
from mercurial.hgweb.common import ErrorResponse, statusmessage

SOURCE = b'fcgi2cgi'


class Response(requestmod.wsgiresponse):
    """hgweb's own response, but for one fault: it fails on a file name that is not ASCII."""

    def sendresponse(self):
        disposition = self.headers.get(b'Content-Disposition', b'')
        if not disposition.isascii():
            self.headers[b'Content-Disposition'] = encode_filename(disposition)
        return super().sendresponse()


def encode_filename(disposition):
    """The file name in the form of RFC 6266 section 4.3, besides one in ASCII for who does not know that."""
    kind, _, quoted = disposition.partition(b'; filename=')
    name = quoted[1:-1].replace(b'\\"', b'"').replace(b'\\\\', b'\\')
    try:
        name.decode('utf-8')
        charset = 'UTF-8'
    except UnicodeDecodeError:
        charset = 'ISO-8859-1'
    plain = bytes(octet if octet < 128 else ord('_') for octet in quoted)
    return kind + b'; filename=' + plain + ("; filename*=%s''%s" % (charset, quote(name, ''))).encode('ascii')


def static_file(templatepath, directory, fname, res, original=hgwebdir_mod.staticfile):
    """hgweb's own, but that one which is not there is a 404: hgwebdir fails on the way to its page about it."""
    try:
        original(templatepath, directory, fname, res)
    except ErrorResponse as error:
        res.status = statusmessage(error.code, error.message)
        res.headers[b'Content-Type'] = b'text/plain'
        res.setbodybytes(b'There is no such file.\n')


def load_ui():
    ui = uimod.ui.load()
    config = os.environb.pop(b'FCGI2CGI_HGWEB_CONFIG', None)
    if config is not None:
        ui.readconfig(config, trust=True)
    # What hgweb sets for itself where it loads the settings: nobody sits at a terminal.
    ui.setconfig(b'ui', b'report_untrusted', b'off', SOURCE)
    ui.setconfig(b'ui', b'nontty', b'true', SOURCE)
    ui.setconfig(b'progress', b'disable', b'true', SOURCE)
    extensions.loadall(ui)
    extensions.populateui(ui)
    return ui


def repository(path, name):
    repo = hg.repository(load_ui(), path)
    return hgweb_mod.hgweb(repo, name=repo.ui.config(b'web', b'name', untrusted=True) or name)


def index(static_url):
    published = sys.stdin.buffer.read().split(b'\0')[:-1]
    ui = load_ui()
    if not ui.config(b'web', b'staticurl'):
        ui.setconfig(b'web', b'staticurl', static_url, SOURCE)
    if not ui.config(b'web', b'prefix'):
        # For the links above the list; those in it come from SCRIPT_NAME.
        ui.setconfig(b'web', b'prefix', os.environb.get(b'SCRIPT_NAME', b''), SOURCE)
    return hgwebdir_mod.hgwebdir(list(zip(published[::2], published[1::2])), baseui=ui)


def main(kind, *arguments):
    make = {'repository': repository, 'index': index}[kind]
    requestmod.wsgiresponse = Response
    hgwebdir_mod.staticfile = static_file
    wsgicgi.launch(make(*map(os.fsencode, arguments)))


if __name__ == '__main__':
    main(*sys.argv[1:])
