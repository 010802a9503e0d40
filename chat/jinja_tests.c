/* chat/jinja_tests.c -- tests of templates. */
#include <string.h>

#include "chat/jinja.h"

static bool
is_callable(JVal v)
{
    return v.kind == JV_macro || v.kind == JV_method || v.kind == JV_function || v.kind == JV_loop;
}

static bool
is_iterable(JVal v)
{
    return v.kind == JV_undefined || v.kind == JV_text || v.kind == JV_dict || j_is_listed(v) ||
           v.kind == JV_loop;
}

/* What has a length and places; an undefined value has functions for both. */
static bool
is_sequence(JVal v)
{
    return v.kind == JV_undefined || v.kind == JV_text || v.kind == JV_dict || v.kind == JV_list ||
           v.kind == JV_tuple;
}

static bool
is_same(JVal v, JVal w)
{
    if (v.kind != w.kind)
        return false;
    if (v.kind == JV_none)
        return true;
    if (v.kind == JV_bool)
        return v.b == w.b;
    if (v.kind == JV_int)
        return v.i == w.i;
    return v.kind == JV_text ? v.len == w.len && v.text == w.text : v.list == w.list;
}

/* Every cased letter is of that case, and there is one. */
static bool
is_cased(Jinja *j, JVal v, JCase how)
{
    const JVal text = j_str(j, v);
    const JVal same = jt_case(j, text, how),
               other = jt_case(j, text, how == JT_lower ? JT_upper : JT_lower);
    return j_equal(j, text, same, 0) && !j_equal(j, text, other, 0);
}

static int64_t
remainder_of_2(Jinja *j, JVal v)
{
    const JVal rest = j_binary(j, JO_mod, v, j_int(2));
    return rest.kind == JV_int ? rest.i : rest.kind == JV_float ? (int64_t)rest.num : -1;
}

static bool
divides(Jinja *j, JVal v, JVal w)
{
    const JVal rest = j_binary(j, JO_mod, v, w);
    return !j->failed && !j_true(j, rest);
}

#define JINJA_TEST(id, name, argument, expression)                                                 \
    static bool test_##id(Jinja *j, JVal v, JVal w)                                                \
    {                                                                                              \
        (void)j, (void)w;                                                                          \
        return expression;                                                                         \
    }
#include "chat/jinja_tests.def"
#undef JINJA_TEST

static const struct {
    const char *name; /* first: nearest_name reads it */
    bool wants_argument;
    bool (*run)(Jinja *, JVal, JVal);
} tests[] = {
#define JINJA_TEST(id, name, argument, expression) {name, argument, test_##id},
#include "chat/jinja_tests.def"
#undef JINJA_TEST
};

int
jinja_test_row(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(tests); i++)
        if (strcmp(tests[i].name, name) == 0)
            return (int)i;
    return -1;
}

const char *
jinja_test_near(const char *name)
{
    return nearest_name(name, tests, COUNT_OF(tests), sizeof *tests);
}

bool
j_test(Jinja *j, int row, JVal of, const JArgs *args)
{
    if (tests[row].wants_argument != (args->npos == 1) || args->nnamed) {
        j_fail(j, "the test `%s` takes %s", tests[row].name,
               tests[row].wants_argument ? "one argument" : "no argument");
        return false;
    }
    return tests[row].run(j, of, args->npos ? args->pos[0] : j_none());
}
