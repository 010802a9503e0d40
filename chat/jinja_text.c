/* chat/jinja_text.c -- texts of a template, as Python's str has them: by code points, with
 * Unicode's letters and white space. */
#include <string.h>
#include <utf8proc.h>

#include "chat/jinja.h"

size_t
jt_step(const char *text, size_t left)
{
    const size_t step = utf8_length(text, left);
    return step ? step : 1;
}

int32_t
jt_code(const char *text, size_t len)
{
    utf8proc_int32_t code = 0;
    const utf8proc_ssize_t used =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, &code);
    return used > 0 ? code : 0xFFFD;
}

void
jt_put(StrBuf *out, int32_t code)
{
    utf8proc_uint8_t bytes[4];
    const bool valid = utf8proc_codepoint_valid(code);
    const utf8proc_ssize_t len = utf8proc_encode_char(valid ? code : 0xFFFD, bytes);
    sb_putn(out, (const char *)bytes, (size_t)len);
}

int64_t
jt_count(const char *text, size_t len)
{
    int64_t count = 0;
    for (size_t at = 0; at < len; at += jt_step(text + at, len - at))
        count++;
    return count;
}

size_t
jt_offset(const char *text, size_t len, int64_t index)
{
    size_t at = 0;
    for (; index > 0 && at < len; index--)
        at += jt_step(text + at, len - at);
    return at;
}

bool
jt_is_space(int32_t code)
{
    if (code < 0x80)
        return code == ' ' || (code >= '\t' && code <= '\r') || (code >= 0x1C && code <= 0x1F);
    const utf8proc_category_t category = utf8proc_category(code);
    return code == 0x85 || category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
           category == UTF8PROC_CATEGORY_ZP;
}

bool
jt_is_printable(int32_t code)
{
    if (code < 0x80)
        return code >= ' ' && code < 0x7F;
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
        return false;
    default:
        return true;
    }
}

static bool
is_cased(int32_t code)
{
    return utf8proc_tolower(code) != code || utf8proc_toupper(code) != code;
}

JVal
jt_case(Jinja *j, JVal text, JCase how)
{
    StrBuf out = {0};
    bool inside = false; /* of a word, or of the text */
    if (!j_step(j, (int64_t)(text.len / 16)))
        return text;
    for (size_t at = 0, step; at < text.len; at += step) {
        step = jt_step(text.text + at, text.len - at);
        const int32_t code = jt_code(text.text + at, step);
        const bool up = how == JT_upper || (how == JT_swapcase && utf8proc_tolower(code) == code) ||
                        ((how == JT_title || how == JT_capitalize) && !inside);
        if (up && code == 0xDF) /* sharp s, the one such letter of texts in everyday use */
            sb_puts(&out, how == JT_upper || how == JT_swapcase ? "SS" : "Ss");
        else
            jt_put(&out, up ? utf8proc_toupper(code) : utf8proc_tolower(code));
        inside = how == JT_capitalize || is_cased(code);
    }
    const bool markup = text.markup;
    text = j_finish(j, &out);
    text.markup = markup;
    return text;
}

static bool
strips(const JVal *chars, const char *at, size_t step)
{
    if (!chars)
        return jt_is_space(jt_code(at, step));
    for (size_t i = 0, len; i < chars->len; i += len) {
        len = jt_step(chars->text + i, chars->len - i);
        if (len == step && memcmp(chars->text + i, at, len) == 0)
            return true;
    }
    return false;
}

/* The start of the last character. */
static size_t
back(const char *text, size_t len)
{
    size_t at = len - 1;
    for (int i = 0; i < 3 && at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80; i++)
        at--;
    return at + jt_step(text + at, len - at) == len ? at : len - 1;
}

JVal
jt_strip(JVal text, const JVal *chars, JSide side)
{
    while ((side & JT_left) && text.len) {
        const size_t step = jt_step(text.text, text.len);
        if (!strips(chars, text.text, step))
            break;
        text.text += step;
        text.len -= step;
    }
    while ((side & JT_right) && text.len) {
        const size_t at = back(text.text, text.len);
        if (!strips(chars, text.text + at, text.len - at))
            break;
        text.len = at;
    }
    return text;
}

size_t
jt_find(JVal text, JVal what, size_t from)
{
    if (what.len > text.len)
        return SIZE_MAX;
    if (what.len == 0)
        return from <= text.len ? from : SIZE_MAX;
    for (size_t at = from; at + what.len <= text.len; at++) {
        const char *hit = memchr(text.text + at, what.text[0], text.len - what.len + 1 - at);
        if (!hit)
            return SIZE_MAX;
        at = (size_t)(hit - text.text);
        if (memcmp(hit, what.text, what.len) == 0)
            return at;
    }
    return SIZE_MAX;
}

/* ---- split and replace ---------------------------------------------------------------------- */

static void
split_space(Jinja *j, JVal text, int64_t most, JList *out)
{
    text = jt_strip(text, NULL, JT_left);
    while (text.len && !j->failed) {
        size_t at = 0, step = 0;
        if (most-- == 0) {
            j_push(j, out, text);
            return;
        }
        for (; at < text.len; at += step) {
            step = jt_step(text.text + at, text.len - at);
            if (jt_is_space(jt_code(text.text + at, step)))
                break;
        }
        j_push(j, out, j_textn(text.text, at));
        text.text += at;
        text.len -= at;
        text = jt_strip(text, NULL, JT_left);
    }
}

static void
split_space_back(Jinja *j, JVal text, int64_t most, JList *out)
{
    text = jt_strip(text, NULL, JT_right);
    while (text.len && !j->failed) {
        size_t at = text.len;
        if (most-- == 0) {
            j_push(j, out, text);
            return;
        }
        while (at > 0) {
            const size_t before = back(text.text, at);
            if (jt_is_space(jt_code(text.text + before, at - before)))
                break;
            at = before;
        }
        j_push(j, out, j_textn(text.text + at, text.len - at));
        text.len = at;
        text = jt_strip(text, NULL, JT_right);
    }
}

static size_t
find_last(JVal text, JVal what)
{
    for (size_t at = text.len; what.len <= text.len && at >= what.len; at--)
        if (memcmp(text.text + at - what.len, what.text, what.len) == 0)
            return at - what.len;
    return SIZE_MAX;
}

static void
split_by(Jinja *j, JVal text, JVal by, int64_t most, bool from_right, JList *out)
{
    while (!j->failed) {
        const size_t at = most-- == 0  ? SIZE_MAX
                          : from_right ? find_last(text, by)
                                       : jt_find(text, by, 0);
        if (at == SIZE_MAX)
            break;
        const size_t behind = at + by.len;
        if (from_right) {
            j_push(j, out, j_textn(text.text + behind, text.len - behind));
            text.len = at;
        } else {
            j_push(j, out, j_textn(text.text, at));
            text.text += behind;
            text.len -= behind;
        }
    }
    j_push(j, out, j_textn(text.text, text.len));
}

JVal
jt_split(Jinja *j, JVal text, const JVal *by, int64_t most, bool from_right)
{
    const JVal list = j_list(j, JV_list);
    JList *out = list.list;
    if (!j_step(j, (int64_t)(text.len / 16)))
        return list;
    if (by && by->len == 0)
        return j_fail(j, "split by an empty text");
    if (by)
        split_by(j, text, *by, most, from_right, out);
    else if (from_right)
        split_space_back(j, text, most, out);
    else
        split_space(j, text, most, out);
    for (int i = 0, k = out->count - 1; from_right && i < k; i++, k--) {
        const JVal swapped = out->items[i];
        out->items[i] = out->items[k];
        out->items[k] = swapped;
    }
    return list;
}

JVal
jt_replace(Jinja *j, JVal text, JVal from, JVal to, int64_t most)
{
    StrBuf out = {0};
    size_t at = 0;
    while (most-- != 0 && at <= text.len) {
        const size_t hit = jt_find(text, from, at);
        if (hit == SIZE_MAX)
            break;
        if (out.len > j->most_bytes || !j_step(j, 1 + (int64_t)(hit - at) / 64)) {
            j_fail(j, "replace makes a text of more than %zu MiB", j->most_bytes >> 20);
            break;
        }
        sb_putn(&out, text.text + at, hit - at);
        sb_putn(&out, to.text, to.len);
        at = hit + from.len;
        if (from.len == 0) { /* between all characters, and at both ends */
            const size_t step = at < text.len ? jt_step(text.text + at, text.len - at) : 1;
            if (at < text.len)
                sb_putn(&out, text.text + at, step);
            at += step;
        }
    }
    if (at < text.len)
        sb_putn(&out, text.text + at, text.len - at);
    return j_finish(j, &out);
}

JVal
jt_slice(Jinja *j, JVal text, int64_t start, int64_t stop, int64_t step)
{
    StrBuf out = {0};
    if (!j_step(j, (int64_t)(text.len / 16)))
        return text;
    if (step == 1) {
        const size_t from = jt_offset(text.text, text.len, start);
        const size_t to =
            stop > start ? from + jt_offset(text.text + from, text.len - from, stop - start) : from;
        JVal part = j_textn(text.text + from, to - from);
        part.markup = text.markup;
        return part;
    }
    const JList *all = j_items(j, text);
    for (int64_t i = start; all && !j->failed && (step > 0 ? i < stop : i > stop); i += step)
        sb_putn(&out, all->items[i].text, all->items[i].len);
    return j_finish(j, &out);
}
