/* chat/jinja_globals.c -- functions that templates call by name, and format % values. */
#include <string.h>
#include <time.h>

#include "chat/jinja.h"

typedef JVal Global(Jinja *j, const JArgs *args);

static JVal
global_range(Jinja *j, const JArgs *args)
{
    enum { MOST = 100000 }; /* as the sandbox of jinja2 */
    int64_t bounds[3] = {0, 0, 1};
    for (int i = 0; i < args->npos && i < 3; i++)
        if (!j_whole(args->pos[i], &bounds[i]))
            return j_fail(j, "range wants integers, not a %s", j_type(args->pos[i]));
    if (args->npos == 1) {
        bounds[1] = bounds[0];
        bounds[0] = 0;
    }
    const int64_t step = bounds[2];
    if (args->npos < 1 || args->npos > 3 || step == 0)
        return j_fail(j, "range wants STOP, or START, STOP and perhaps a STEP that is not 0");
    const JVal out = j_list(j, JV_list);
    for (int64_t i = bounds[0]; (step > 0 ? i < bounds[1] : i > bounds[1]) && !j->failed;) {
        if (out.list->count == MOST)
            return j_fail(j, "range of more than %d", MOST);
        j_push(j, out.list, j_int(i));
        if (step > 0 ? i > INT64_MAX - step : i < INT64_MIN - step)
            break;
        i += step;
    }
    return out;
}

static JVal
made_of(Jinja *j, const JArgs *args, JKind kind)
{
    JVal out = j_dict(j);
    for (int i = 0; i < args->npos && !j->failed; i++) {
        const JVal from = args->pos[i];
        if (from.kind != JV_dict)
            return j_fail(j, "a dict is wanted, not a %s", j_type(from));
        for (int k = 0; k < from.dict->count && !j->failed; k++)
            j_dict_set(j, out.dict, from.dict->keys[k], from.dict->values[k]);
    }
    for (int i = 0; i < args->nnamed && !j->failed; i++)
        j_dict_set(j, out.dict, j_text(args->names[i]), args->named[i]);
    out.kind = kind;
    return out;
}

static JVal
global_namespace(Jinja *j, const JArgs *args)
{
    return made_of(j, args, JV_namespace);
}

static JVal
global_dict(Jinja *j, const JArgs *args)
{
    return made_of(j, args, JV_dict);
}

static JVal
global_raise_exception(Jinja *j, const JArgs *args)
{
    const JVal text = args->npos ? j_str(j, args->pos[0]) : j_text("the template gives up");
    return j_fail(j, "%.*s", (int)(text.len < 4096 ? text.len : 4096), text.text);
}

static JVal
global_strftime_now(Jinja *j, const JArgs *args)
{
    char out[512];
    struct tm now;
    const time_t seconds = time(NULL);
    if (args->npos != 1 || args->pos[0].kind != JV_text || args->pos[0].len > 128)
        return j_fail(j, "strftime_now wants a format");
    const JVal format = j_copy(j, args->pos[0].text, args->pos[0].len);
    if (!localtime_r(&seconds, &now))
        return j_fail(j, "strftime_now: there is no local time");
    const size_t len = strftime(out, sizeof out, format.text, &now);
    return j_copy(j, out, len);
}

static const struct {
    const char *name;
    Global *run;
} globals[] = {
    {"range",           global_range          },
    {"namespace",       global_namespace      },
    {"dict",            global_dict           },
    {"raise_exception", global_raise_exception},
    {"strftime_now",    global_strftime_now   },
};

JVal
j_global(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(globals); i++)
        if (strcmp(globals[i].name, name) == 0)
            return (JVal){.kind = JV_function, .i = (int64_t)i};
    return j_undefined(NULL);
}

JVal
j_call_global(Jinja *j, int64_t row, const JArgs *args)
{
    return globals[row].run(j, args);
}

/* %s, %r, %d and %%: with a tuple its items, else the value itself. */
JVal
j_percent(Jinja *j, JVal format, JVal with)
{
    StrBuf out = {0};
    int next = 0;
    const int count = with.kind == JV_tuple ? with.list->count : 1;
    for (size_t at = 0; at < format.len && !j->failed; at++) {
        const char c = format.text[at], kind = at + 1 < format.len ? format.text[at + 1] : 0;
        if (c != '%') {
            sb_putn(&out, &c, 1);
            continue;
        }
        at++;
        if (kind == '%') {
            sb_puts(&out, "%");
            continue;
        }
        if ((kind != 's' && kind != 'd' && kind != 'r') || next >= count) {
            j_fail(j, kind && next < count ? "only %%s, %%d, %%r and %%%% are supported"
                                           : "there are not enough values for the format");
            break;
        }
        const JVal v = with.kind == JV_tuple ? with.list->items[next] : with;
        next++;
        double num;
        int64_t i;
        if (kind != 'd')
            j_put(j, &out, v, kind == 'r', 0);
        else if (j_whole(v, &i))
            j_put(j, &out, j_int(i), false, 0);
        else if (j_number(v, &num) && num > -9.2e18 && num < 9.2e18)
            j_put(j, &out, j_int((int64_t)num), false, 0);
        else
            j_fail(j, "%%d wants a number, not a %s", j_type(v));
    }
    if (!j->failed && next < count && with.kind == JV_tuple)
        j_fail(j, "there are more values than the format takes");
    return j_finish(j, &out);
}
