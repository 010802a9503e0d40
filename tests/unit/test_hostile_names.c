/* tests/unit/test_hostile_names.c -- names that mean something where they are written: in C, JSON,
 * rules of make, folders of everybody; and tools that do not do their work. */
#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ir/util.h"
#include "runtime/internal.h"
#include "tests/embed.h"

#define MODEL(name)                                                                                \
    "name: \"" name "\"\nvocab: 16\ndim: 32\nlayers:\n  - {repeat: 1, block: mamba2, inner: 64, "  \
    "head_dim: 16, state: 16}\nweights: {init: reference}\n"

typedef struct {
    char *dir, *model;
} Place;

static Place
place_new(const char *text)
{
    Place p = {.dir = temp_dir()};
    p.model = path_join(p.dir, "m.yaml");
    cr_assert(write_whole(p.model, text, strlen(text)));
    return p;
}

static void
place_end(Place *p)
{
    temp_dir_remove(p->dir);
    free(p->model);
}

/* The header of a model of any name is a comment and declarations. */
Test(hostile_names, in_a_header)
{
    static const char *const models[] = {
        MODEL("m */ int evil = 1; /* "), MODEL("/* m"),
        MODEL("**/ int evil; /**"),      MODEL("/*/"),
        MODEL("a\\nint evil;\\n"),       MODEL("\\\"\\\\"),
        MODEL("m\\r\\n*\\n/"),           MODEL("a*\\x01/b"),
        MODEL("caf\\u00e9 *//* x"),      MODEL("9 lives"),
    };
    for (size_t i = 0; i < RT_COUNT(models); i++) {
        Place p = place_new(models[i]);
        char *header = path_join(p.dir, "model.h"), *object = path_join(p.dir, "m.o");
        aot_ok(ARGS("compile", p.model, "--emit", "obj", "-o", object, "--header", header));
        char *text = read_whole(header, NULL);
        char *c = path_join(p.dir, "t.c"), *cpp = path_join(p.dir, "t.cpp");
        const char *evil = strstr(text, "evil"), *end = strstr(text, "*/");
        cr_expect(!evil || evil < end, "the comment ends too early:\n%.200s", text);
        static const char source[] = "#include \"model.h\"\nint main(void) { return 0; }\n";
        cr_assert(write_whole(c, source, strlen(source)) &&
                  write_whole(cpp, source, strlen(source)));
        free(embed_build("cc", c, p.dir, "t", ARGS("-Wcomment", NULL)));
        free(embed_build("c++", cpp, p.dir, "t", ARGS("-Wcomment", NULL)));
        free(cpp);
        free(c);
        free(text);
        free(object);
        free(header);
        place_end(&p);
    }
}

/* Kernels of the text form may have any name. */
Test(hostile_names, in_a_trace)
{
    static const char name[] = "a \"b\" \\ {c}";
    Place p = place_new(MODEL("m"));
    char *plan = path_join(p.dir, "p.ir"), *trace = path_join(p.dir, "t.json");
    CommandResult r = command_run(ARGS(SSMC_BINARY, "compile", p.model, "--emit", "plan"), NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    char *text = text_replace(r.out, "kernel in_proj ", "kernel \"a \\\"b\\\" \\\\ {c}\" ");
    cr_assert(strcmp(text, r.out) != 0, "%s", r.out);
    cr_assert(write_whole(plan, text, strlen(text)));
    command_free(&r);
    r = command_run(ARGS(SSMC_BINARY, "bench", plan, "--prefill", "4", "--decode", "0", "--repeats",
                         "1", "--threads", "1", "--trace", trace),
                    NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    struct json_object *root = json_object_from_file(trace), *events = NULL, *of = NULL;
    cr_assert_not_null(root, "%s", json_util_get_last_err());
    cr_assert(json_object_object_get_ex(root, "traceEvents", &events));
    int found = 0;
    for (size_t i = 0; i < json_object_array_length(events); i++)
        if (json_object_object_get_ex(json_object_array_get_idx(events, i), "name", &of))
            found += strcmp(json_object_get_string(of), name) == 0;
    cr_expect_eq(found, 1);
    json_object_put(root);
    command_free(&r);
    free(text);
    free(trace);
    free(plan);
    place_end(&p);
}

/* make reads every file again that the rule names. */
Test(hostile_names, in_a_rule)
{
    static const char *const names[] = {"a b",   "a:b",   "a#b",     "a$b",  "a\\b",
                                        "a\\ b", "a\\:b", "a\\\\#b", "$(x)", "a\tb"};
    for (size_t i = 0; i < RT_COUNT(names); i++) {
        char *dir = temp_dir(), *model = NULL, *rule = path_join(dir, "m.d");
        char name[32];
        snprintf(name, sizeof name, "%s.yaml", names[i]);
        model = path_join(dir, name);
        cr_assert(write_whole(model, MODEL("m"), strlen(MODEL("m"))));
        char *out = path_join(dir, "m.o");
        aot_ok(ARGS("compile", model, "--emit", "obj", "-o", out, "--depfile", rule));
        /* The rule has no recipe: it is asked whether the product is older. */
        cr_assert_eq(unlink(model), 0);
        CommandResult r = aot_tool(ARGS("make", "-q", "-f", rule, out));
        cr_expect_eq(r.status, 2, "'%s': make does not miss it: %s", names[i], r.err);
        cr_assert(write_whole(model, "x", 1));
        command_free(&r);
        r = aot_tool(ARGS("make", "-s", "-f", rule, out));
        cr_expect_eq(r.status, 0, "'%s': %s%s", names[i], r.out, r.err);
        command_free(&r);
        free(out);
        free(model);
        free(rule);
        temp_dir_remove(dir);
    }
}

Test(hostile_names, a_line_end_fits_no_rule)
{
    char *dir = temp_dir(), *out = path_join(dir, "a\nb.o"), *rule = path_join(dir, "m.d");
    aot_fault(2, ARGS("compile", AOT_SMALL, "--emit", "obj", "-o", out, "--depfile", rule),
              ARGS("--depfile: a file's name has a line's end"));
    cr_expect(access(out, F_OK) != 0 && access(rule, F_OK) != 0, "nothing is half written");
    free(rule);
    free(out);
    temp_dir_remove(dir);
}

/* perf looks for a map in /tmp, where others may have put a link by its name. */
Test(hostile_names, a_map_is_written_through_no_link)
{
    static const char script[] =
        "ln -$0 \"$1\" /tmp/perf-$$.map; echo $$ >\"$2\"; shift 2; SSMC_PERF_MAP=1 exec \"$@\"";
    for (int hard = 0; hard < 2; hard++) {
        char *dir = temp_dir(), *victim = path_join(dir, "victim"), *number = path_join(dir, "pid");
        cr_assert(write_whole(victim, "mine\n", 5));
        CommandResult r =
            command_run(ARGS("/bin/sh", "-c", script, hard ? "f" : "sf", victim, number,
                             SSMC_BINARY, "run", AOT_STORY, "-p", "Once", "-n", "1"),
                        NULL, 0);
        cr_expect_eq(r.status, 0, "%s", r.err);
        char *text = read_whole(victim, NULL), *pid = read_whole(number, NULL), map[64];
        cr_expect_str_eq(text, "mine\n");
        snprintf(map, sizeof map, "/tmp/perf-%ld.map", pid ? strtol(pid, NULL, 10) : 0);
        unlink(map);
        command_free(&r);
        free(pid);
        free(text);
        free(number);
        free(victim);
        temp_dir_remove(dir);
    }
}

/* An ar that unpacks nothing and says nothing: a library without the runtime is no library. */
Test(hostile_names, an_archiver_that_unpacks_nothing)
{
    static const char script[] = "#!/bin/sh\n[ \"$1\" = x ] && exit 0\nexec /usr/bin/ar \"$@\"\n";
    char *dir = temp_dir(), *ar = path_join(dir, "ar"), *out = path_join(dir, "m.a");
    StrBuf path = {0};
    sb_printf(&path, "PATH=%s:%s", dir, getenv("PATH"));
    cr_assert(write_whole(ar, script, strlen(script)));
    cr_assert_eq(chmod(ar, 0755), 0);
    CommandResult r = aot_tool(
        ARGS(sb_text(&path), SSMC_BINARY, "compile", AOT_SMALL, "--emit", "lib", "-o", out));
    cr_expect_eq(r.status, 1, "%d", r.status);
    cr_expect(strstr(r.err, "there is nothing in "), "%s", r.err);
    cr_expect(access(out, F_OK) != 0);
    command_free(&r);
    sb_free(&path);
    free(out);
    free(ar);
    temp_dir_remove(dir);
}

Test(hostile_names, more_measurements_than_there_is_room_for)
{
    aot_fault(2,
              ARGS("bench", AOT_SMALL, "--prefill", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
                   "--decode", "2", "--batch", "1", "--threads", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"),
              ARGS("17 lengths and 1 batches by 15 numbers of threads are more than 256"));
}
