/* runtime/json.c -- a strict JSON reader (RFC 8259). */
#include "runtime/json.h"

#include <stdio.h>
#include <string.h>

#include "runtime/internal.h"

enum { MAX_DEPTH = 64 };

/* ---- faults -------------------------------------------------------------------------------- */

bool
rt_json_expected(RtJson *j, const char *what)
{
    if (j->failed)
        return false;
    j->failed = true;
    if (j->at >= j->len) {
        rt_fail(SSMC_BAD_FILE, "%s: byte %zu: expected %s, found the end", j->where, j->at, what);
        return false;
    }
    const unsigned char c = (unsigned char)j->text[j->at];
    char found[16];
    snprintf(found, sizeof found, c >= 0x20 && c < 0x7f ? "'%c'" : "byte 0x%02x", c);
    rt_fail(SSMC_BAD_FILE, "%s: byte %zu: expected %s, found %s", j->where, j->at, what, found);
    return false;
}

/* ---- bytes --------------------------------------------------------------------------------- */

static int
peek(const RtJson *j)
{
    return j->at < j->len ? (unsigned char)j->text[j->at] : -1;
}

/* The next byte that is not a blank; -1 at the end. */
static int
next(RtJson *j)
{
    while (j->at < j->len && memchr(" \t\r\n", j->text[j->at], 4))
        j->at++;
    return peek(j);
}

static bool
take(RtJson *j, char c, const char *what)
{
    if (j->failed || next(j) != c)
        return rt_json_expected(j, what);
    j->at++;
    return true;
}

/* Ranges of the second byte are RFC 3629's: no overlong forms, no surrogates, nothing past
 * U+10FFFF. */
int
rt_utf8_length(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    if (len == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    const int n = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 4;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len < (size_t)n)
        return 0;
    const int low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    const int high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high)
        return 0;
    for (int i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* ---- strings ------------------------------------------------------------------------------- */

static bool
hex4(RtJson *j, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, j->at++) {
        const int c = peek(j);
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return rt_json_expected(j, "four hexadecimal digits after \\u");
        *out = *out * 16 + (uint32_t)digit;
    }
    return true;
}

/* A code point after "\u": one unit, or a pair of surrogates. */
static bool
unicode(RtJson *j, uint32_t *point)
{
    const size_t start = j->at;
    uint32_t low = 0;
    if (!hex4(j, point))
        return false;
    const bool high = *point >= 0xd800 && *point <= 0xdbff;
    if (high && j->len - j->at >= 2 && memcmp(j->text + j->at, "\\u", 2) == 0) {
        j->at += 2;
        if (!hex4(j, &low))
            return false;
        *point = 0x10000 + ((*point - 0xd800) << 10) + (low - 0xdc00);
    }
    if (high ? low >= 0xdc00 && low <= 0xdfff : *point != 0 && (*point < 0xdc00 || *point > 0xdfff))
        return true;
    j->at = start;
    return rt_json_expected(j, "a character that may stand in a name");
}

static size_t
utf8_put(char *room, uint32_t point)
{
    if (point < 0x80) {
        room[0] = (char)point;
        return 1;
    }
    const size_t n = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, point >>= 6)
        room[i] = (char)(0x80 | (point & 0x3f));
    room[0] = (char)((0xf00 >> n & 0xf0) | point);
    return n;
}

/* What stands behind a backslash, as UTF-8. */
static bool
escape(RtJson *j, char *bytes, size_t *n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const int c = peek(j);
    const char *found = c > 0 ? strchr(from, c) : NULL;
    if (!found && c != 'u')
        return rt_json_expected(j, "an escape (one of \"\\/bfnrtu)");
    j->at++;
    *n = 1;
    if (found) {
        *bytes = to[found - from];
        return true;
    }
    uint32_t point;
    if (!unicode(j, &point))
        return false;
    *n = utf8_put(bytes, point);
    return true;
}

bool
rt_json_string(RtJson *j, char *room)
{
    size_t out = 0;
    if (!take(j, '"', "a string"))
        return false;
    while (peek(j) != '"') {
        char bytes[4];
        size_t n = 0;
        if (peek(j) < 0x20)
            return rt_json_expected(j, "the end of the string (control bytes are escaped)");
        if (peek(j) == '\\') {
            j->at++;
            if (!escape(j, bytes, &n))
                return false;
        } else {
            n = (size_t)rt_utf8_length(j->text + j->at, j->len - j->at);
            if (n == 0)
                return rt_json_expected(j, "UTF-8");
            memcpy(bytes, j->text + j->at, n);
            j->at += n;
        }
        if (room)
            memcpy(room + out, bytes, n);
        out += n;
    }
    j->at++;
    if (room)
        room[out] = '\0';
    return true;
}

bool
rt_json_key(RtJson *j, char *room)
{
    return rt_json_string(j, room) && take(j, ':', "':'");
}

/* ---- collections --------------------------------------------------------------------------- */

bool
rt_json_open(RtJson *j, char open)
{
    j->first = true;
    return take(j, open, open == '{' ? "'{'" : "'['");
}

bool
rt_json_more(RtJson *j, char close)
{
    if (j->failed)
        return false;
    const bool first = j->first;
    j->first = false;
    if (next(j) == close) {
        j->at++;
        return false;
    }
    if (first)
        return true;
    return take(j, ',', close == '}' ? "',' or '}'" : "',' or ']'");
}

bool
rt_json_end(RtJson *j)
{
    if (!j->failed && next(j) >= 0)
        rt_json_expected(j, "the end");
    return !j->failed;
}

/* ---- values -------------------------------------------------------------------------------- */

bool
rt_json_count(RtJson *j, uint64_t *out)
{
    static const char what[] = "a whole number from 0 to 2^63-1";
    uint64_t n = 0;
    const int lead = j->failed ? -1 : next(j);
    const size_t start = j->at;
    for (; peek(j) >= '0' && peek(j) <= '9'; j->at++) {
        const uint64_t digit = (uint64_t)(peek(j) - '0');
        if (n > (INT64_MAX - digit) / 10) {
            j->at = start;
            return rt_json_expected(j, what);
        }
        n = n * 10 + digit;
    }
    const bool padded = lead == '0' && j->at - start > 1;
    if (j->failed || j->at == start || padded || (peek(j) > 0 && strchr(".eE", peek(j)))) {
        j->at = start;
        return rt_json_expected(j, what);
    }
    *out = n;
    return true;
}

static bool
skip_digits(RtJson *j)
{
    const size_t start = j->at;
    while (peek(j) >= '0' && peek(j) <= '9')
        j->at++;
    return j->at > start || rt_json_expected(j, "a digit");
}

static bool
skip_number(RtJson *j)
{
    j->at += peek(j) == '-';
    const bool zero = peek(j) == '0';
    j->at += zero;
    if (!zero && !skip_digits(j))
        return false;
    if (peek(j) == '.') {
        j->at++;
        if (!skip_digits(j))
            return false;
    }
    if (peek(j) != 'e' && peek(j) != 'E')
        return true;
    j->at++;
    j->at += peek(j) == '+' || peek(j) == '-';
    return skip_digits(j);
}

static bool
skip_word(RtJson *j)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < RT_COUNT(words); i++) {
        const size_t n = strlen(words[i]);
        if (j->len - j->at >= n && memcmp(j->text + j->at, words[i], n) == 0) {
            j->at += n;
            return true;
        }
    }
    return rt_json_expected(j, "a value");
}

static bool
skip_at(RtJson *j, int depth)
{
    if (j->failed)
        return false;
    const int c = next(j);
    if (c == '"')
        return rt_json_string(j, NULL);
    if (c == '-' || (c >= '0' && c <= '9'))
        return skip_number(j);
    if (c != '{' && c != '[')
        return skip_word(j);
    if (depth == MAX_DEPTH)
        return rt_json_expected(j, "fewer levels of brackets");
    const char close = c == '{' ? '}' : ']';
    for (rt_json_open(j, (char)c); rt_json_more(j, close);)
        if ((c == '{' && !rt_json_key(j, NULL)) || !skip_at(j, depth + 1))
            return false;
    return !j->failed;
}

bool
rt_json_skip(RtJson *j)
{
    return skip_at(j, 0);
}
