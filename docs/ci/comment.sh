#!/usr/bin/env bash
# comment.sh PREVIEW: the text that `pulumi preview --color=never` printed, as Markdown for a pull or merge request:
# the verdict on each model, what the policies say, and the whole preview folded away.
set -euo pipefail
preview=$1

section() { # section TITLE: the lines below it, up to the next title
  awk -v title="$1:" '/^[^ ]/ {inside = ($0 == title); next} inside' "$preview"
}

# Among the messages of the stack: from the last "Will it start?" to the first line of another message.
verdicts=$(section Diagnostics | awk '
  /^    Will it start\?$/ {table = ""; inside = 1; next}
  inside && (/^    (error|warning|debug|info):/ || !/^    /) {inside = 0}
  inside {table = table substr($0, 5) "\n"}
  END {printf "%s", table}')
policies=$(section Policies)

block() { # block TITLE TEXT
  if [ -n "$2" ]; then printf '### %s\n\n```\n%s\n```\n\n' "$1" "$2"; fi
}

block "Will it start?" "$verdicts"
block "Policies" "$policies"
printf '<details><summary>pulumi preview</summary>\n\n```\n'
tail -c 50000 "$preview" # a comment holds 65536 characters
printf '\n```\n\n</details>\n'
