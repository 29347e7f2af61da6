#!/usr/bin/env bash
# find-python.sh: print the path of a CPython 3.13 that can make a virtual environment (stdout).
# Looks at $PYTHON first (then nothing else is tried), then along PATH, then where versions are usually installed.
# A candidate is run, not only looked at: a pyenv shim exists for versions that aren't active.
set -u

WANTED=3.13
HOME=${HOME:-/nonexistent}
DATA=${XDG_DATA_HOME:-$HOME/.local/share}
SEEN=""  # what was found and isn't suitable, for the error

# Prints the interpreter itself, not a virtual environment's: ours may be first on PATH and about to be rebuilt.
PROBE='
import sys
version = "%d.%d.%d" % sys.version_info[:3]
if sys.implementation.name != "cpython" or sys.version_info[:2] != (3, 13):
    sys.exit("is %s %s" % (sys.implementation.name, version))
import sysconfig
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit("is the free-threaded build of %s" % version)
try:
    import ensurepip, venv, ssl
except ImportError as missing:
    sys.exit("is %s without its module %s (Debian, Ubuntu: apt install python3.13-venv)" % (version, missing.name))
print(getattr(sys, "_base_executable", None) or sys.executable)
'

try() { # try FILE: print the interpreter and succeed, or remember why not
  local answer
  [ -x "$1" ] || return 1
  if answer=$("$1" -I -S -c "$PROBE" 2>&1) && [ -n "$answer" ]; then printf '%s\n' "$answer"; return 0; fi
  answer=${answer##*$'\n'}
  SEEN="$SEEN  - $1 ${answer:-does not run}
"
  return 1
}

if [ -n "${PYTHON:-}" ]; then
  file=$(command -v "$PYTHON" 2>/dev/null) || { echo "error: PYTHON=$PYTHON: there is no such program. Unset PYTHON, or set it to a Python $WANTED." >&2; exit 1; }
  try "$file" && exit 0
  printf 'error: PYTHON=%s is not a suitable Python %s:\n%sUnset PYTHON, or set it to a Python %s.\n' "$PYTHON" "$WANTED" "$SEEN" "$WANTED" >&2
  exit 1
fi

while IFS= read -r file; do
  [ -n "$file" ] && try "$file" && exit 0
done <<EOF
$(type -aP "python$WANTED" python3 python 2>/dev/null)
EOF

for file in \
  "${PYENV_ROOT:-$HOME/.pyenv}"/versions/$WANTED.*/bin/python$WANTED \
  "${UV_PYTHON_INSTALL_DIR:-$DATA/uv/python}"/cpython-$WANTED.*/bin/python$WANTED \
  "$HOME"/.asdf/installs/python/$WANTED.*/bin/python$WANTED \
  "$DATA"/mise/installs/python/$WANTED.*/bin/python$WANTED \
  "$HOME"/.rye/py/cpython@$WANTED.*/bin/python$WANTED \
  "$HOME"/.local/bin/python$WANTED \
  /usr/bin/python$WANTED /usr/local/bin/python$WANTED \
  /opt/homebrew/bin/python$WANTED /opt/homebrew/opt/python@$WANTED/bin/python$WANTED \
  /usr/local/opt/python@$WANTED/bin/python$WANTED /home/linuxbrew/.linuxbrew/bin/python$WANTED \
  /Library/Frameworks/Python.framework/Versions/$WANTED/bin/python$WANTED \
  /opt/*/bin/python$WANTED /opt/python/*/bin/python$WANTED /usr/local/*/bin/python$WANTED \
  "$HOME"/{miniconda3,anaconda3,miniforge3,mambaforge}/{bin,envs/*/bin}/python$WANTED; do
  try "$file" && exit 0
done

cat >&2 <<EOF
error: no suitable Python $WANTED was found, neither on PATH nor where versions are usually installed.
${SEEN:-  - no Python at all was found
}Install one, any of:
  uv python install $WANTED                       (anywhere)
  pyenv install $WANTED                           (anywhere)
  apt install python$WANTED python$WANTED-venv      (Debian 13, Ubuntu 25.04 or newer)
  dnf install python$WANTED                       (Fedora, RHEL)
  brew install python@$WANTED                     (macOS)
or, if you have one elsewhere: PYTHON=/path/to/python$WANTED make setup
EOF
exit 1
