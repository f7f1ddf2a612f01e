"""What decides where modules are found: new processes may find others, or look elsewhere."""

import errno
import importlib
import importlib.machinery
import os
import sys

# Loaded by Python itself, where there is one.
CUSTOM = 'sitecustomize', 'usercustomize'


class Search:
    """As it is when modules are loaded; `has_own` says that the script's directory is looked into, before the others."""

    def __init__(self, has_own):
        self.has_own = has_own
        sites = site_directories()
        # Directories that would be looked into if they were there.
        self.missing = [path for path in sites + named_by(sites) if not os.path.isdir(path)]
        self.directories = remembered(sys.path + sites + self.missing)
        home = os.path.dirname(sys.executable)
        # Where there is one that says so, Python is in a virtual environment.
        settings = [os.path.join(directory, 'pyvenv.cfg') for directory in (home, os.path.dirname(home))]
        self.files = settings + path_files(sites)
        self.sites = sites
        self.origins = {}

    def loaded(self, origins, missed):
        """These modules are loaded, by name; those were looked for, and some of them found after all."""
        self.origins = {**{name: None for name in missed - sys.modules.keys() if found(name) is None}, **origins}
        self.custom = {name: origins.get(name) for name in CUSTOM}
        known = dict(self.directories)
        self.directories += remembered(set(map(os.path.dirname, origins.values())).difference(map(os.fsdecode, known)))

    def changed(self):
        """A file by which a new process would not load the same."""
        now = [(path, signature(path)) for path, _ in self.directories]
        if now == self.directories:
            return None
        for (path, known), (_, seen) in zip(self.directories, now):
            if known != seen and os.path.isfile(path):
                # An archive.
                return os.fsdecode(path)
        # Something came or went in a directory: what counts is whether the same modules would be found.
        forget()
        for path in [*self.missing, *path_files(self.sites)]:
            if os.path.isdir(path) or (path.endswith('.pth') and path not in self.files):
                return path
        for name, path in self.origins.items():
            now_found = found(name, path) if name not in CUSTOM else path
            if now_found != path:
                return now_found or path
        for name, path in self.custom.items():
            custom = origin_of(name, sys.path[1:] if self.has_own else None)
            if custom != path:
                return custom or path
        self.directories = now
        return None


def forget():
    """As importlib.invalidate_caches() for what is found in directories. That loads forty modules of its own."""
    if 'importlib.metadata' in sys.modules:
        importlib.invalidate_caches()
        return
    for path, finder in list(sys.path_importer_cache.items()):
        if finder is None:
            del sys.path_importer_cache[path]
        elif hasattr(finder, 'invalidate_caches'):
            finder.invalidate_caches()
    namespace = getattr(importlib.machinery, 'NamespaceLoader', None)
    kind = namespace and getattr(sys.modules[namespace.__module__], '_NamespacePath', None)
    if hasattr(kind, '_epoch'):
        kind._epoch += 1


class Missed:
    """Goes last among what finds modules: `names` are those that nothing has found."""

    def __init__(self):
        self.names = set()

    def find_spec(self, name, path=None, target=None):
        self.names.add(name)


def remembered(paths):
    """With their signatures; for what lies in an archive, the archive."""
    remembered = {}
    for path in map(os.fsencode, paths):
        while signature(path) == b'%d' % errno.ENOTDIR:
            path = os.path.dirname(path)
        remembered[path] = signature(path)
    return list(remembered.items())


def site_directories():
    site = sys.modules.get('site')
    if site is None:
        return []
    directories = site.getsitepackages() if hasattr(site, 'getsitepackages') else []
    return directories + ([site.USER_SITE] if site.ENABLE_USER_SITE and site.USER_SITE else [])


def path_files(directories):
    found = []
    for directory in directories:
        try:
            found += [os.path.join(directory, name) for name in sorted(os.listdir(directory)) if name.endswith('.pth')]
        except OSError:
            pass
    return found


def named_by(directories):
    """The directories that the .pth files in these name."""
    named = []
    for path in path_files(directories):
        try:
            with open(path, 'rb') as file:
                lines = map(os.fsdecode, file.read().splitlines())
        except OSError:
            continue
        named += [os.path.join(os.path.dirname(path), line.strip()) for line in lines
                  if line.strip() and not line.startswith(('#', 'import ', 'import\t'))]
    return named


def signature(path):
    """Two are the same if nobody has changed the file between them."""
    try:
        status = os.stat(path)
    except OSError as error:
        return b'%d' % error.errno
    return b'%d %d %d %d %d' % (status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino, status.st_size)


def found(name, otherwise=None):
    """The file in which a module would be found now; the other one where what it belongs to does not say."""
    parent, _, _ = name.rpartition('.')
    where = getattr(sys.modules.get(parent), '__path__', None) if parent else None
    return origin_of(name, where) if where is not None or not parent else otherwise


def origin_of(name, path):
    try:
        spec = importlib.machinery.PathFinder.find_spec(name, path)
    except Exception:
        return None
    return spec and spec.origin
