"""What the sweeps found: read from the files of a run, told in a terminal, as a page and in the README."""
import collections
import html
import os
import re
import textwrap

KINDS = ("commands", "transport", "keys", "files", "memory", "mutex", "evp", "death", "pairs")
TOKENS = {"tpm": "TPM", "keyring": "keyring"}
WHAT = {
    "commands": "the TPM answers a command with a code",
    "transport": "the way to the TPM breaks, or an answer is cut, damaged or late",
    "keys": "a call of keyutils or of the ring's lock fails",
    "files": "a system call on the store fails, or does half",
    "memory": "an allocation gives NULL",
    "mutex": "one of the application's mutex callbacks fails",
    "evp": "a function of libcrypto fails",
    "death": "the process is killed at a system call",
    "pairs": "another process's call comes in between",
    "crash": "a process ended before its results were complete",
    "hang": "a process took longer than it may",
}

Row = collections.namedtuple("Row", "function variant token kind operations injected violations general codes")
Violation = collections.namedtuple("Violation", "function variant token kind words")


class Found:
    """Rows and violations, and the run that they are of (run.json)."""

    def __init__(self, rows=(), violations=(), run=None, missing=0):
        self.rows, self.violations, self.run, self.missing = list(rows), list(violations), run or {}, missing

    def of(self, **fields):
        """Those rows and violations alone whose fields have these values."""
        def fits(x):
            return all(getattr(x, k) == v for k, v in fields.items())
        return Found(filter(fits, self.rows), filter(fits, self.violations), self.run, self.missing)

    def values(self, field):
        return list(dict.fromkeys(getattr(x, field) for x in self.rows + self.violations))

    def kinds(self):
        there = set(self.values("kind"))
        return [k for k in KINDS if k in there] + sorted(there - set(KINDS))

    def tokens(self):
        there = set(self.values("token"))
        return [t for t in TOKENS if t in there] + sorted(there - set(TOKENS))

    def sum(self, field):
        return sum(getattr(r, field) for r in self.rows)

    def injected(self):
        return self.sum("injected")

    def codes(self):
        total = collections.Counter()
        for r in self.rows:
            total.update(r.codes)
        return sorted(total.items(), key=lambda c: (c[0] != "CKR_OK", -c[1], c[0]))


# ---- reading ----

def read_row(fields):
    codes = collections.Counter()
    for code in fields[8].split():
        name, _, n = code.partition("=")
        codes[name] += int(n)
    return Row(*fields[:4], *(int(f) for f in fields[4:8]), codes)


def read_file(path):
    """A file of results (engine.h); one that isn't there is empty."""
    found = Found()
    if not os.path.exists(path):
        return found
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            fields = line.rstrip("\n").split("\t")
            if fields[0] == "!" and len(fields) >= 6:
                found.violations.append(Violation(*fields[1:5], " ".join(fields[5:])))
            elif len(fields) == 9:
                found.rows.append(read_row(fields))
            else:
                found.violations.append(Violation("", "", "", "crash", f"a line of results that isn't one: {line!r}"))
    return found


def read_directory(directory, run):
    """The results of a run; .missing: how many of its scenarios haven't been run yet."""
    found = Found(run=run)
    for job in run["jobs"]:
        if not os.path.exists(os.path.join(directory, job["name"] + ".end")):
            found.missing += 1
            continue
        one = read_file(os.path.join(directory, job["name"] + ".tsv"))
        found.rows += one.rows
        found.violations += one.violations
    return found


def how_it_died(status, log, found):
    """The kind and the words of the violation that a process's end is, or None.  status None: it was killed for taking
    too long."""
    if status is None or re.search(r"^\[FAIL\].*Timed out", log, re.MULTILINE | re.IGNORECASE):
        return "hang", "it took longer than it may"
    if status < 0:
        return "crash", f"it was killed by signal {-status}"
    if re.search(r"Crashing: [1-9]", log):
        return "crash", "it crashed: " + first_failure(log)
    if status != 0 and not found.violations:
        return "crash", "it failed: " + first_failure(log)
    if not found.rows:
        return "crash", "it wrote no results"
    told = {r[:4] for r in found.rows}
    if any(v[:4] not in told for v in found.violations):
        return "crash", "it ended before it had told all: " + first_failure(log)
    return None


def first_failure(log):
    """What Criterion says of the first check that failed; else the last line."""
    lines = [re.sub(r"^\[[-=A-Z!]{4}\] *", "", line).strip() for line in log.splitlines()]
    for i, line in enumerate(lines):
        if re.search(r"Assertion Failed|CRASH|Unexpected signal", line):
            return " ".join(" ".join(lines[i:i + 4]).split())
    told = [line for line in lines if line]
    return told[-1] if told else "no words"


# ---- words that all have in common ----

def run_words(found):
    run = found.run
    words = f"commit {run['commit']}{' with changes' if run['changed'] else ''}, {run['date']}, "
    words += "every fault" if run["sample"] == 1 else f"every {run['sample']}th fault"
    if found.missing:
        words += f", {found.missing} of {len(run['jobs'])} parts not run yet"
    return words


def last_line(found):
    return f"Faults injected: {found.injected()}, violations: {len(found.violations)}"


def general_words(found):
    n = found.sum("general")
    return (f"CKR_GENERAL_ERROR was the answer {n} times: where taking back failed too, where an application's mutex "
            "callback failed, or to a code that the TPM gives to a faulty command only.") if n else \
        "CKR_GENERAL_ERROR was never the answer."


def function_order(found):
    return sorted(found.values("function"), key=lambda f: (not f.startswith("C_"), f))


# ---- in a terminal ----

NAME_WIDTH = 22
WIDTHS = {"commands": 9, "transport": 10}


def cells(values, kinds):
    return "".join(f"{v or '-':>{WIDTHS.get(k, 7)}}" for k, v in zip(kinds, values)) + f"{sum(values):9}"


def function_lines(found, kinds):
    lines = []
    for name, field in (("operations", "operations"), ("faults", "injected")):
        lines.append(f"{'  ' + name:{NAME_WIDTH}}" + cells([found.of(kind=k).sum(field) for k in kinds], kinds))
    if found.violations:
        lines.append(f"{'  VIOLATIONS':{NAME_WIDTH}}" + cells([len(found.of(kind=k).violations) for k in kinds], kinds))
    codes = ", ".join(f"{name} {n}" for name, n in found.codes()) or "none"
    return lines + textwrap.wrap(codes, 99, initial_indent="  answers: ", subsequent_indent="           ",
                                 break_on_hyphens=False)


def terminal(found):
    """The table function × kind, for 100 columns."""
    kinds = found.kinds()
    header = " " * NAME_WIDTH + "".join(f"{k:>{WIDTHS.get(k, 7)}}" for k in kinds) + f"{'all':>9}"
    lines = [header]
    for function in function_order(found):
        lines += [function or "(no function)", *function_lines(found.of(function=function), kinds)]
    for token in found.tokens():
        lines += ["", f"All functions, {TOKENS.get(token, token)} token", header,
                  *function_lines(found.of(token=token), kinds)]
    lines += ["", "In all", header, *function_lines(found, kinds), "", *textwrap.wrap(general_words(found), 99)]
    for v in found.violations:
        lines += textwrap.wrap(f"VIOLATION {v.function}/{v.variant} ({v.token}, {v.kind}): {v.words}", 99,
                               subsequent_indent="  ")
    return "\n".join([*lines, run_words(found)])


# ---- in the README ----

BEGIN, END = "<!-- fault report: written by tests/fault/run --readme -->", "<!-- end of the fault report -->"


def markdown(found):
    tokens = found.tokens()
    lines = ["| kind | what fails | " + " | ".join(f"{TOKENS[t]}: operations, faults" for t in tokens) +
             " | violations |", "|---|---|" + "---:|" * (len(tokens) + 1)]
    for kind in found.kinds():
        of_kind = found.of(kind=kind)
        parts = [of_kind.of(token=t) for t in tokens]
        counts = [f"{p.sum('operations')}, {p.injected()}" if p.rows else "–" for p in parts]
        lines.append(f"| {kind} | {WHAT.get(kind, '')} | {' | '.join(counts)} | {len(of_kind.violations)} |")
    counts = [f"{found.of(token=t).sum('operations')}, {found.of(token=t).injected()}" for t in tokens]
    lines.append(f"| all | | {' | '.join(counts)} | {len(found.violations)} |")
    scenarios = len({r[:3] for r in found.rows})
    functions = len({r.function for r in found.rows if r.function.startswith("C_")})
    return "\n".join([f"{scenarios} scenarios of {functions} functions, {run_words(found)}. {general_words(found)}",
                      "", *lines, "", last_line(found)])


def write_readme(path, found):
    """Replaces what stands between the markers; what is wrong with that, or None."""
    if found.missing or found.run["sample"] != 1 or not found.run["complete"]:
        return "the README shows a full run that came to its end (--all, no pattern), and this isn't one"
    if found.run["changed"]:
        return "the README names a commit, and this run was of files that weren't committed"
    with open(path, encoding="utf-8") as f:
        text = f.read()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return f"{path} has no markers"
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{before}{BEGIN}\n{markdown(found)}\n{END}{after}")
    return None


# ---- as a page ----

STYLE = """
:root { color-scheme: light dark; --page: #fcfcfb; --ink: #1b1b1a; --soft: #63625e; --rule: #dddcd6; --tpm: #2a78d6;
  --keyring: #1f9e77; --bad: #c33a2c; --well: #f3f2ee; }
@media (prefers-color-scheme: dark) { :root { --page: #1a1a19; --ink: #eceae4; --soft: #a3a19a; --rule: #3a3936;
  --tpm: #5b9fee; --keyring: #3cb991; --bad: #ef7566; --well: #242422; } }
body { background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
p.soft, .soft { color: var(--soft); } code { font-size: .92em; }
.numbers { display: flex; flex-wrap: wrap; gap: 2.5rem; margin: 1.5rem 0; }
.numbers b { display: block; font-size: 2rem; line-height: 1.1; font-variant-numeric: tabular-nums; }
.bad { color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } th { font-weight: 600; text-align: left; }
th, td { border-bottom: 1px solid var(--rule); padding: .25rem .6rem; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.more td { border-bottom: 2px solid var(--rule); padding-bottom: .6rem; }
tr.first td, tr.first th { border-bottom: 0; }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; } svg text.soft { fill: var(--soft); }
.tpm { fill: var(--tpm); } .keyring { fill: var(--keyring); }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 1em; }
summary { cursor: pointer; color: var(--soft); }
ul.violations li { margin: .4rem 0; }
"""


def esc(text):
    return html.escape(str(text))


def number(n):
    return f"{n:,}".replace(",", " ")  # a thin space


def chart(found):
    """Faults by kind, a bar for each kind of token."""
    kinds, tokens = found.kinds(), found.tokens()
    counts = {(k, t): found.of(kind=k, token=t).injected() for k in kinds for t in tokens}
    top, left, width, bar, gap = max(counts.values(), default=1) or 1, 100, 560, 14, 12
    row = len(tokens) * bar + gap
    out = [f'<svg viewBox="0 0 760 {len(kinds) * row}" role="img" width="760" style="max-width:100%" '
           'aria-label="Faults injected, by kind and token">']
    for i, kind in enumerate(kinds):
        y = i * row
        out.append(f'<text x="{left - 10}" y="{y + len(tokens) * bar / 2 + 5}" text-anchor="end">{esc(kind)}</text>')
        for j, token in enumerate(tokens):
            n = counts[kind, token]
            length = n * width / top if n else 0
            words = f"{kind}, {TOKENS.get(token, token)} token: {n} faults"
            out.append(f'<g><title>{esc(words)}</title><rect class="{esc(token)}" x="{left}" y="{y + j * bar + 1}" '
                       f'width="{max(length, 1 if n else 0):.1f}" height="{bar - 2}" rx="2"/>'
                       f'<text class="soft" x="{left + length + 6:.1f}" y="{y + j * bar + 12}">'
                       f'{number(n) if n else "–"}</text></g>')
    return "\n".join([*out, "</svg>"])


def small_bar(found, top):
    """A function's faults, the tokens one behind the other."""
    out, x = ['<svg width="140" height="12" viewBox="0 0 140 12" role="presentation">'], 0.0
    for token in found.tokens():
        length = found.of(token=token).injected() * 140 / (top or 1)
        out.append(f'<rect class="{esc(token)}" x="{x:.1f}" y="1" width="{length:.1f}" height="10"/>')
        x += length
    return "".join([*out, "</svg>"])


def kinds_table(found):
    tokens = found.tokens()
    head = "".join(f'<th class="n">{esc(TOKENS.get(t, t))}: operations</th><th class="n">faults</th>' for t in tokens)
    rows = []
    for kind in [*found.kinds(), None]:
        part = found.of(kind=kind) if kind else found
        counts = "".join(f'<td class="n">{number(part.of(token=t).sum("operations"))}</td>'
                         f'<td class="n">{number(part.of(token=t).injected())}</td>' for t in tokens)
        rows.append(f'<tr><th>{esc(kind or "all")}</th><td class="soft">{esc(WHAT.get(kind, ""))}</td>{counts}'
                    f'<td class="n">{number(part.sum("general"))}</td>'
                    f'<td class="n{" bad" if part.violations else ""}">{len(part.violations)}</td></tr>')
    return ('<div class="wide"><table><tr><th>kind</th><th>what fails</th>' + head +
            '<th class="n">CKR_GENERAL_ERROR</th><th class="n">violations</th></tr>' + "\n".join(rows) +
            "</table></div>")


def function_rows(found, function, kinds, top):
    part = found.of(function=function)
    counts = "".join(f'<td class="n" title="{part.of(kind=k).sum("operations")} operations">'
                     f'{number(part.of(kind=k).injected()) if part.of(kind=k).rows else ""}</td>' for k in kinds)
    codes = ", ".join(f"<code>{esc(name)}</code> {number(n)}" for name, n in part.codes()) or "none"
    variants = "".join(
        f"<li>{esc(v)} ({esc(', '.join(TOKENS.get(t, t) for t in p.tokens()))}): "
        f"{number(p.sum('operations'))} operations, {number(p.injected())} faults</li>"
        for v, p in ((v, part.of(variant=v)) for v in part.values("variant")))
    return (f'<tr class="first"><th>{esc(function or "–")}</th><td>{small_bar(part, top)}</td>'
            f'<td class="n">{number(part.sum("operations"))}</td><td class="n">{number(part.injected())}</td>{counts}'
            f'<td class="n{" bad" if part.violations else ""}">{len(part.violations)}</td></tr>\n'
            f'<tr class="more"><td colspan="{len(kinds) + 5}"><span class="soft">answers:</span> {codes}'
            f'<details><summary>{len(part.values("variant"))} scenarios</summary><ul>{variants}</ul></details>'
            '</td></tr>')


def functions_table(found):
    kinds, names = found.kinds(), function_order(found)
    top = max((found.of(function=f).injected() for f in names), default=1)
    head = "".join(f'<th class="n">{esc(k)}</th>' for k in kinds)
    return ('<div class="wide"><table><tr><th>function</th><th></th><th class="n">operations</th>'
            '<th class="n">faults</th>' + head + '<th class="n">violations</th></tr>' +
            "\n".join(function_rows(found, f, kinds, top) for f in names) + "</table></div>")


def violations_list(found):
    if not found.violations:
        return "<p>None.</p>"
    return '<ul class="violations">' + "\n".join(
        f"<li><b>{esc(v.function)}/{esc(v.variant)}</b> ({esc(v.token)}, {esc(v.kind)}): {esc(v.words)}</li>"
        for v in found.violations) + "</ul>"


def page(found):
    """One HTML page that needs nothing else."""
    keys = "".join(f'<svg class="key" viewBox="0 0 1 1"><rect class="{esc(t)}" width="1" height="1"/></svg>'
                   f'{esc(TOKENS.get(t, t))} token' for t in found.tokens())
    bad = ' class="bad"' if found.violations else ""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Signet: faults injected</title><style>{STYLE}</style></head><body>
<h1>Signet: all or nothing, and the right code</h1>
<p class="soft">{esc(run_words(found))}</p>
<div class="numbers"><div><b>{number(found.injected())}</b>faults injected</div>
<div><b{bad}>{len(found.violations)}</b>violations</div>
<div><b>{number(found.sum("operations"))}</b>operations that can fail</div>
<div><b>{len({r[:3] for r in found.rows})}</b>scenarios</div></div>
<p>Each scenario is one call of a PKCS#11 function on one kind of token. Every operation below the call that can fail
was made to fail, once and from then on, in each way that it knows. After each fault the answer must be the right one, a
call that failed must have left the token as it was, nothing may be left over, and the same call must then succeed.
{esc(general_words(found))}</p>
<h2>By kind</h2><p>{keys}</p>
{chart(found)}
{kinds_table(found)}
<h2>Violations</h2>
{violations_list(found)}
<h2>By function</h2>
{functions_table(found)}
<p>{esc(last_line(found))}</p>
</body></html>
"""
