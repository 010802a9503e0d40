#!/usr/bin/env python3
"""What jinja2 makes of small templates, by the settings that transformers has: jinja.json, which
test_chat_jinja.c compares with. pip install jinja2; run it here to record again."""
import json
import os

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


ENV = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                    extensions=[Generation, jinja2.ext.loopcontrols])
ENV.filters["tojson"] = tojson
ENV.globals["raise_exception"] = raise_exception

VARS = {
    "s": "Hello, World", "t": "  padded\t\n", "u": "h\u00e9llo \u65e5\u672c \U0001f642 \u00df", "e": "",
    "n": 7, "z": 0, "f": 1.5, "big": 1e22, "small": 1e-7, "yes": True, "no": False, "none": None,
    "l": [3, 1, 2], "words": ["b", "A", "c", "a"], "nested": [[1, 2], [3]], "empty": [], "one": ["x"],
    "d": {"b": 1, "a": [True, None, {"k": "v'\"\\"}], "C": "\u00e9\n\u0001\u007f"}, "ed": {},
    "m": [{"role": "user", "content": "hi", "n": 2}, {"role": "tool", "content": None, "n": 1},
          {"role": "user", "content": "x\ny", "n": 3, "items": [1]}],
}

SNIPPETS = r"""
{{ s }}|{{ n }}|{{ f }}|{{ big }}|{{ small }}|{{ yes }}|{{ no }}|{{ none }}|{{ l }}|{{ d }}|{{ missing }}|{{ 100000.0 }}|{{ 1e16 }}|{{ 0.1 + 0.2 }}
{{ missing.x }}
{{ d.missing.x }}
{{ d.missing }}|{{ d['missing'] }}|{{ l[9] }}|{{ s.missing }}
{{ missing() }}
{{ none.x }}|{{ none['x'] }}
a {{- s -}} b {{ s }} c {{+ s }}
  {% if yes %}  x  {% endif %}  y
  {%- if yes -%}  x  {%- endif -%}  y
  {%+ if yes +%}  x  {%+ endif +%}  y
{# comment #} after{#- strip -#}   x
{% raw %}{{ not }} {% this %}{% endraw %} after
{%- raw -%}  {{ x }}  {%- endraw -%}  after
{% if n > 5 and not no or missing %}A{% elif n %}B{% else %}C{% endif %}
{% if z %}A{% elif e %}B{% elif empty %}C{% elif ed %}D{% elif none %}E{% else %}F{% endif %}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }}{{ x }};{% endfor %}
{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{% endfor %}
{% for x in [1,1,2,2,1] %}{% if loop.changed(x) %}{{ x }}{% endif %}{% endfor %}
{% for x in empty %}{{ x }}{% else %}nothing{% endfor %}{% for x in missing %}a{% else %}none{% endfor %}
{% for x in 5 %}{% endfor %}
{% for x in none %}{% endfor %}
{% for c in u %}[{{ c }}]{% endfor %}{% for k in d %}{{ k }},{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k, v in d|items %}{{ loop.last }}{{ k }}{% endfor %}
{% for (a, b) in [(1, 2), [3, 4]] %}{{ a }}{{ b }}{% endfor %}
{% for a, b in nested %}{{ a }}{% endfor %}
{% for x in l if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}
{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x > 4 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in nested recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}d{{ loop.depth }}{% endif %}{% endfor %}
{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}
{% for x in l %}{% set y = x %}{% endfor %}{{ y }}
{% set y = 1 %}{% for x in l %}{% set y = y + x %}{{ y }},{% endfor %}{{ y }}
{% set ns = namespace(y=1, z='q') %}{% for x in l %}{% set ns.y = ns.y + x %}{% endfor %}{{ ns.y }}{{ ns.z }}{{ ns.w }}
{% set d.x = 1 %}
{% set a, b = 1, 'two' %}{{ a }}{{ b }}{% set c = (1, 2,) %}{{ c }}{% set t = 1, %}{{ t }}
{% set a, b = [1] %}
{% set x %}  block {{ s }} {% endset %}[{{ x }}]{% set y | upper | trim %} b {% endset %}[{{ y }}]
{% if yes %}{% set q = 1 %}{% endif %}{{ q }}{% if no %}{% set r = 1 %}{% endif %}{{ r }}
{% macro m(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, 3) }}|{{ m(c='z', a=0) }}|{{ m() }}|{{ m.name }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k=4) }}
{% macro m(x) %}[{{ caller(x) }}]{% endmacro %}{% call(y) m(5) %}<{{ y }}{{ s }}>{% endcall %}
{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in{% endcall %}
{% macro f(x) %}{% if x > 0 %}{{ x }}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(4) }}
{% macro m() %}{{ late }}{% endmacro %}{% set late = 'L' %}{{ m() }}
{% macro m() %}{% set inner = 1 %}{{ inner }}{% endmacro %}{{ m() }}{{ inner }}
{% filter upper %}abc {{ s }}{% endfilter %}{% filter replace('a', 'b') | trim %} aa {% endfilter %}|
{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% generation %}gen {{ s }}{% endgeneration %}
{{ 1 + 2 * 3 }}{{ (1 + 2) * 3 }}|{{ 7 // 2 }}{{ -7 // 2 }}{{ 7 % 3 }}{{ -7 % 3 }}{{ 7 / 2 }}{{ 2 ** 3 ** 2 }}{{ -2 ** 2 }}|{{ 7.5 // 2 }}{{ -7.5 % 2 }}
{{ 1 / 0 }}
{{ 1 + 'a' }}
{{ 'a' + 1 }}
{{ 'a' + missing }}
{{ 'a' ~ 1 ~ none ~ missing ~ l ~ 1.5 }}{{ 'a' 'b' "c" }}
{{ 'ab' * 3 }}{{ 3 * 'x' }}{{ [1] * 2 }}{{ l + [9] }}{{ (1,) + (2,) }}{{ 'x' * -1 }}
{{ 1 < 2 < 3 }}{{ 1 < 2 > 5 }}{{ 1 == 1.0 }}{{ 1 == True }}{{ 'a' == 'a' }}{{ 'a' < 'b' }}{{ [1, 2] < [1, 3] }}{{ l == [3, 1, 2] }}{{ d == d }}{{ none == none }}{{ 1 != 2 }}{{ 2 >= 2 }}{{ 1 <= 0 }}
{{ 1 < 'a' }}
{{ 'a' in s }}{{ 'H' in s }}{{ 1 in l }}{{ 9 not in l }}{{ 'b' in d }}{{ 'q' not in d }}{{ 'a' in ('a', 'b') }}{{ none in [none] }}{{ 'x' in missing }}
{{ 1 in s }}
{{ not yes }}{{ not not no }}{{ yes and 'x' }}{{ no or 'y' }}{{ e or none or 0 }}{{ n and z }}
{{ 'a' if yes else 'b' }}{{ 'a' if no else 'b' }}{{ 'a' if no }}|{{ 1 if no else 2 if no else 3 }}
{{ s[0] }}{{ s[-1] }}{{ u[1] }}{{ u[-3] }}{{ s[2:5] }}{{ s[:-7] }}{{ s[::2] }}{{ s[::-1] }}{{ u[7:9] }}{{ l[1:] }}{{ l[::-1] }}{{ l[-2:] }}{{ l[5:] }}{{ s[3:1] }}|{{ l[::-2] }}{{ l[:100] }}
{{ m[0].role }}{{ m[0]['role'] }}{{ m[-1].content }}
{{ m[2]['items'] }}{{ m[0].get('role') }}{{ m[0].get('q') }}{{ m[0].get('q', 'dflt') }}{{ m.0.role }}{{ nested.0.1 }}
{{ {'a': 1, 'b': [1, {}]}['b'] }}{{ {1: 'x', 'k': 2,}[1] }}{{ [1, [2, 3],][1][0] }}{{ () }}{{ (1) }}{{ [] }}{{ {} }}
{{ 0x1F }}{{ 0b101 }}{{ 0o17 }}{{ 1_000 }}{{ 1.5e3 }}{{ 2e-3 }}{{ 1E2 }}
{{ 'a\n\t\\\'\"\x41\u00e9\101\q' }}{{ "it's" }}
{{ "line
break" }}
{{ s|length }}{{ u|length }}{{ l|length }}{{ d|count }}{{ missing|length }}{{ e|length }}
{{ n|length }}
{{ none|length }}
{{ t|trim }}|{{ 'xxaxx'|trim('x') }}|{{ n|trim }}|{{ s|upper }}{{ s|lower }}{{ u|upper|lower }}{{ 'hELLO wORLD'|capitalize }}{{ 'hello world-x (y'|title }}{{ missing|upper }}
{{ l|join }}{{ l|join(', ') }}{{ m|join(',', attribute='role') }}{{ words|join('') }}{{ 'abc'|join('-') }}
{{ m|map(attribute='role')|list }}{{ words|map('upper')|join }}{{ l|map('string')|list }}{{ m|map(attribute='q', default='?')|list }}{{ words|map('replace', 'a', 'z')|list }}
{{ m|selectattr('role', 'equalto', 'user')|list|length }}{{ m|selectattr('content')|map(attribute='n')|list }}{{ m|rejectattr('role', '==', 'user')|map(attribute='n')|list }}{{ m|selectattr('items', 'defined')|list|length }}{{ l|select('odd')|list }}{{ l|reject('odd')|list }}{{ [0, 1, '']|select|list }}{{ l|select('greaterthan', 1)|list }}{{ l|select('in', [1, 2])|list }}
{{ none|selectattr('a')|list }}{{ none|map('upper')|list }}
{{ l|map('nosuch')|list }}
{{ l|nosuch }}
{{ l is nosuch }}
{{ missing|default('d') }}{{ e|default('d') }}{{ e|default('d', true) }}{{ none|default('d') }}{{ none|default('d', boolean=true) }}{{ missing|d }}{{ no|d(1, true) }}
{{ l|first }}{{ l|last }}{{ s|first }}{{ empty|first }}|{{ d|first }}
{{ l|sort }}{{ l|sort(reverse=true) }}{{ words|sort }}{{ words|sort(case_sensitive=true) }}{{ m|sort(attribute='n')|map(attribute='n')|list }}{{ l|reverse|list }}{{ s|reverse }}
{{ [1, 'a']|sort }}
{{ d|dictsort }}{{ {'b': 2, 'a': 3}|dictsort(by='value') }}{{ d|dictsort(true) }}{{ {'b': 2, 'a': 3}|dictsort(reverse=true) }}
{{ l|max }}{{ l|min }}{{ words|max }}{{ m|max(attribute='n') }}{{ l|sum }}{{ m|sum(attribute='n') }}{{ [1.5, 2]|sum }}{{ empty|max }}
{{ ['a', 'A', 'b', 'a']|unique|list }}{{ [1, 2, 1]|unique|list }}{{ [1,2,3,4,5]|batch(2)|list }}{{ [1,2,3]|batch(2, 0)|list }}
{{ 'a-b-c'|replace('-', '+') }}{{ 'aaa'|replace('a', 'b', 2) }}{{ 'ab'|replace('', '.') }}{{ 12|replace(1, 3) }}
{{ '12'|int }}{{ 'x'|int }}{{ 'x'|int(5) }}{{ '1.7'|int }}{{ 3.9|int }}{{ none|int }}{{ 'ff'|int(0, 16) }}{{ ' 8 '|int }}{{ '2.5'|float }}{{ 'q'|float }}{{ 3|float }}{{ true|int }}
{{ 2.567|round(2) }}{{ 2.5|round }}{{ 3.5|round }}{{ 2.1|round(method='ceil') }}{{ 2.9|round(0, 'floor') }}{{ -3|abs }}{{ -2.5|abs }}
{{ n|string + 'x' }}{{ none|string }}{{ l|string }}{{ 'abc'|list }}{{ d|list }}{{ (1, 2)|list }}{{ range(3)|list }}{{ range(5, 0, -2)|list }}{{ range(2, 4)|list }}
{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\n\nb'|indent(1, blank=true) }}|{{ 'a\nb'|indent('>>') }}
{{ '<a & "b">'|e }}{{ '<a>'|safe }}{{ ('<a>'|safe) + '<b>' }}{{ '<b>' + ('<a>'|safe) }}{{ ('<a>'|safe) ~ '<b>' }}{{ '<x>'|e|e }}{{ ('<a>'|safe|upper) + '&' }}
{{ d|tojson }}{{ l|tojson }}{{ s|tojson }}{{ none|tojson }}{{ yes|tojson }}{{ f|tojson }}{{ big|tojson }}{{ u|tojson }}{{ u|tojson(ensure_ascii=true) }}{{ (1, 2)|tojson }}{{ {1: 2, none: 3, true: 4}|tojson }}
{{ d|tojson(indent=2) }}{{ empty|tojson(indent=2) }}{{ ed|tojson(indent=2) }}{{ d|tojson(sort_keys=true) }}{{ d|tojson(separators=(',', ':')) }}{{ nested|tojson(indent=4) }}
{{ missing|tojson }}
{{ l|map('string')|tojson }}
{{ '%s-%d-%%-%r'|format('a', 3, 'b') }}{{ '%s' % 'x' }}{{ '%s %s' % (1, [2]) }}
{{ '%s %s' % ('x',) }}
{{ 'a b  c'.split() }}{{ 'a,b,c'.split(',') }}{{ 'a,b,c'.split(',', 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ' a  b '.split(' ') }}{{ 'abc'.split('abc') }}{{ ''.split() }}{{ ''.split(',') }}{{ 'a b c'.split(none, 1) }}{{ ' a b c '.rsplit(none, 1) }}{{ ' a b c '.split(none, 1) }}{{ ' a b c '.split(none, 0) }}
{{ 'a'.split('') }}
{{ t.strip() }}|{{ 'xxhixx'.strip('x') }}{{ 'xxhixx'.lstrip('x') }}{{ 'xxhixx'.rstrip('x') }}{{ '\n\na\n'.strip('\n') }}{{ 'éaé'.strip('é') }}|{{ '\u3000 a\u00a0'.strip() }}|
{{ s.startswith('He') }}{{ s.endswith('ld') }}{{ s.startswith(('x', 'H')) }}{{ s.upper() }}{{ s.lower() }}{{ 'they\'re bill'.title() }}{{ 'aBC'.capitalize() }}{{ 'aB'.swapcase() }}{{ s.replace('l', 'L') }}{{ s.replace('l', 'L', 1) }}
{{ s.find('o') }}{{ s.find('zz') }}{{ s.rfind('o') }}{{ u.find('\u65e5') }}{{ s.count('l') }}{{ s.index('W') }}{{ ','.join(words) }}{{ '-'.join('abc') }}{{ 'a=b=c'.partition('=') }}{{ 'a=b=c'.rpartition('=') }}{{ 'abc'.partition('x') }}{{ 'prefix-x'.removeprefix('prefix-') }}{{ 'x.py'.removesuffix('.py') }}{{ 'a\nb\r\nc'.splitlines() }}
{{ s.index('zz') }}
{{ ','.join(l) }}
{{ 'a1'.isalnum() }}{{ '12'.isdigit() }}{{ 'ab'.isalpha() }}{{ '1a'.isalpha() }}{{ ' \t'.isspace() }}{{ 'ab'.islower() }}{{ 'AB'.isupper() }}{{ ''.isdigit() }}
{{ '{} {}'.format(1, 'a') }}{{ '{1}{0}'.format('x', 'y') }}{{ '{a}{{}}'.format(a=3) }}{{ '{!r}'.format('q') }}
{{ '{}'.format() }}
{{ d.keys()|list }}{{ d.values()|list|length }}{{ d.items()|list|first }}{{ d.keys()|length }}{{ d.get('b') + 1 }}
{{ l.index(1) }}{{ l.count(3) }}{{ (1, 2, 1).count(1) }}{{ l.copy() }}
{{ n is defined }}{{ missing is defined }}{{ missing is undefined }}{{ none is none }}{{ n is none }}{{ s is string }}{{ n is string }}{{ n is number }}{{ f is number }}{{ yes is number }}{{ f is float }}{{ n is integer }}{{ yes is integer }}{{ yes is boolean }}{{ yes is true }}{{ 1 is true }}{{ no is false }}
{{ d is mapping }}{{ l is mapping }}{{ l is sequence }}{{ s is sequence }}{{ d is sequence }}{{ n is sequence }}{{ missing is sequence }}{{ l is iterable }}{{ s is iterable }}{{ n is iterable }}{{ missing is iterable }}{{ none is iterable }}{{ l|map('string') is sequence }}
{{ n is odd }}{{ n is even }}{{ n is divisibleby 7 }}{{ n is divisibleby(2) }}{{ n is eq 7 }}{{ n is ne 7 }}{{ n is gt 5 }}{{ n is lt(5) }}{{ n is ge 7 }}{{ n is le 6 }}{{ 'a' is in 'abc' }}{{ 1 is in [2] }}{{ s is equalto 'x' }}{{ none is sameas none }}{{ 'ab' is lower }}{{ 'AB' is upper }}{{ range is callable }}{{ s is callable }}
{{ n is not defined }}{{ n is not none and s is string }}{{ not n is none }}{{ n is defined and n > 3 }}{{ x is not defined or y }}{{ missing is defined and missing.x is defined }}
{{ yes is not true if n else 3 }}
{{ raise_exception('stop ' ~ n) }}
{% if no %}{{ raise_exception('never') }}{% endif %}fine
{{ dict(a=1, b=2) }}{{ dict({'x': 1}, y=2) }}
{{ dict(a=1).a }}{{ range(3)[1] }}{{ range(0)|length }}
{{ -n }}{{ +n }}{{ - 2 + 3 }}{{ -f }}{{ 5 - -3 }}{{ n|abs - 1 }}{{ -n|abs }}
{{ -s }}
{{ loop is defined }}{% for loop_x in one %}{{ loop_x }}{% endfor %}
{{ 'x'|upper ~ 'y'|upper }}{{ ('x' ~ 'y')|upper }}{{ 'a' ~ 'b' + 'c' }}{{ 1 ~ 2 * 3 }}
{{ 1 ~ 2 + 3 }}
{{ true and false or true }}{{ True }}{{ False }}{{ None }}{{ none }}
{% set x = 'a' if yes else 'b' %}{{ x }}{% for q in (l if yes else empty) %}{{ q }}{% endfor %}
{%- for message in m -%}
  {%- if message.role == 'user' -%}
    <u>{{ message.content | trim }}</u>
  {%- else -%}
    <t>{{ message.content }}</t>
  {%- endif -%}
{%- endfor -%}
line one
{% if yes %}
line two
{% endif %}
  {% set q = 3 %}
line {{ q }}
{% for i in range(2) %}
  item {{ i }}
{% endfor %}

end
"""

BROKEN = r"""
{{ s
{% if yes %}
{% for x l %}{% endfor %}
{{ (1, }}
{{ 1 + }}
{{ s | }}
{% endif %}
{% nosuch %}
{% if yes %}{% endfor %}
{{ 'open }}
{# open
{% raw %} open
{% set x %}
{{ [1, 2 }}
{{ 1 2 }}
{{ a.1b }}
{% macro m(a=1, b) %}{% endmacro %}
{{ f(a=1, 2) }}
{% break %}
{{ s ) }}
{{ s is }}
{{ ? }}
{{ n is not }}
{% set 3 = 4 %}
{{ {1} }}
"""


def groups(text):
    """Snippets are lines; those that begin with a multi-line block are kept together by hand."""
    lines = text.strip("\n").split("\n")
    whole = lines.index("{%- for message in m -%}") if "{%- for message in m -%}" in lines else None
    string = lines.index('{{ "line') if '{{ "line' in lines else None
    out, i = [], 0
    while i < len(lines):
        if i == string:
            out.append("\n".join(lines[i:i + 2]))
            i += 2
        elif i == whole:
            out.append("\n".join(lines[i:i + 7]))
            out.append("\n".join(lines[i + 7:]) + "\n")
            break
        else:
            out.append(lines[i])
            i += 1
    return out


def record(template):
    case = {"template": template}
    try:
        case["text"] = ENV.from_string(template).render(**VARS)
    except Exception:
        case["raises"] = True
    return case


here = os.path.dirname(os.path.abspath(__file__))
cases = [record(t) for t in groups(SNIPPETS)] + [record(t) for t in groups(BROKEN)]
with open(os.path.join(here, "jinja.json"), "w", encoding="utf-8") as out:
    out.write('{"vars": %s,\n "cases": [\n' % json.dumps(VARS))
    out.write(",\n".join("  " + json.dumps(c) for c in cases))
    out.write("\n]}\n")
print(len(cases), "cases,", sum("raises" in c for c in cases), "raise")
