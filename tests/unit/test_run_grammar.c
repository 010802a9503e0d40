/* tests/unit/test_run_grammar.c -- ssmc run with --grammar and --json-schema, as its users call it.
 */
#include <criterion/criterion.h>

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "ir/util.h"
#include "tests/harness.h"
#include "tests/model_run.h"

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ssmc run STORYTELLER with a file that an option names; must end with `status`. */
static CommandResult
run(int status, const char *option, const char *text, const char *const *more)
{
    char *dir = temp_dir(), *path = path_join(dir, "given");
    const char *argv[32] = {SSMC_BINARY,        "run",  STORYTELLER, "-p",
                            "Once upon a time", option, path};
    for (size_t n = 7; *more; n++) {
        cr_assert_lt(n, 31u);
        argv[n] = *more++;
    }
    cr_assert(write_whole(path, text, strlen(text)));
    const CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, status, "status %d: %s", r.status, r.err);
    temp_dir_remove(dir);
    free(path);
    return r;
}

Test(run_grammar, the_text_is_one_of_the_grammar_and_ends_with_it)
{
    static const char grammar[] = "root ::= \"yes\" | \"no\" | \" maybe \" [0-9]{3}";
    static const char *const how[] = {
        "--greedy",     "--top-k=1",      "--top-p=0.9", "--min-p=0.2", "--repeat-penalty=1.5",
        "--ignore-eos", "--temperature=5"};
    for (size_t i = 0; i < COUNT_OF(how); i++) {
        CommandResult r = run(0, "--grammar", grammar, ARGS(how[i], "--seed", "7"));
        const bool maybe = strncmp(r.out, " maybe ", 7) == 0 && r.out_len == 10 &&
                           strspn(r.out + 7, "0123456789") == 3;
        cr_expect(maybe || strcmp(r.out, "yes") == 0 || strcmp(r.out, "no") == 0, "%s: '%s'",
                  how[i], r.out);
        command_free(&r);
    }
}

Test(run_grammar, the_text_is_json_of_the_schema)
{
    static const char schema[] =
        "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\", \"maxLength\": "
        "12}, \"age\": {\"type\": \"integer\", \"minimum\": 3, \"maximum\": 9}}, \"required\": "
        "[\"name\", \"age\"]}";
    CommandResult r = run(0, "--json-schema", schema, ARGS("--top-k", "40", "--seed", "5"));
    json_object *value = json_tokener_parse(r.out);
    cr_assert(value, "%s", r.out);
    const int age = json_object_get_int(json_object_object_get(value, "age"));
    cr_expect(age >= 3 && age <= 9, "%s", r.out);
    cr_expect_leq(json_object_get_string_len(json_object_object_get(value, "name")), 48);
    json_object_put(value);
    command_free(&r);
}

/* What is fixed costs no draw that could go wrong: the seed has no say. */
Test(run_grammar, a_text_without_a_choice_is_the_same_by_any_seed)
{
    for (int seed = 0; seed < 3; seed++) {
        char number[8] = {(char)('0' + seed)};
        CommandResult r =
            run(0, "--grammar", "root ::= \"{\\\"a\\\": 1}\"", ARGS("--seed", number));
        cr_expect_str_eq(r.out, "{\"a\": 1}");
        command_free(&r);
    }
}

Test(run_grammar, a_text_that_is_cut_off_is_a_beginning)
{
    CommandResult r = run(0, "--grammar", "root ::= \"a\"{40}", ARGS("-n", "3", "--greedy"));
    cr_expect(r.out_len >= 3 && r.out_len < 40 && strspn(r.out, "a") == r.out_len, "%s", r.out);
    command_free(&r);
}

Test(run_grammar, a_grammar_goes_with_saved_states)
{
    char *dir = temp_dir(), *state = path_join(dir, "s.state");
    CommandResult r = run(0, "--grammar", "root ::= \" there was\"", ARGS("--save-state", state));
    cr_expect_str_eq(r.out, " there was");
    command_free(&r);
    const char *argv[] = {SSMC_BINARY, "run", STORYTELLER, "--load-state", state, "-p", " a queen",
                          "-n",        "3",   NULL};
    r = command_run(argv, NULL, 0);
    cr_expect_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    temp_dir_remove(dir);
    free(state);
}

Test(run_grammar, faults_are_told_before_a_model_is_made)
{
    static const struct {
        const char *option, *text, *says;
    } of[] = {
        {"--grammar",     "root ::= \"a",           "given:1:10: error: this text has no end"},
        {"--json-schema", "{\"type\":",             "given:1:9: error: this is not JSON"     },
        {"--json-schema", "{\"uniqueItems\":true}",
         "given: error: #/uniqueItems: this keyword is not"                                  },
    };
    for (size_t i = 0; i < COUNT_OF(of); i++) {
        CommandResult r = run(2, of[i].option, of[i].text, ARGS("-n", "1"));
        cr_expect(strstr(r.err, of[i].says), "stderr lacks '%s':\n%s", of[i].says, r.err);
        cr_expect_eq(r.out_len, 0);
        command_free(&r);
    }
    CommandResult r = run(2, "--grammar", "", ARGS("--json-schema", "x"));
    cr_expect(strstr(r.err, "--grammar and --json-schema both say what the text is: give one"),
              "%s", r.err);
    command_free(&r);
    const char *argv[] = {SSMC_BINARY, "run",       STORYTELLER, "-p",
                          "x",         "--grammar", "/nowhere",  NULL};
    r = command_run(argv, NULL, 0);
    cr_expect_eq(r.status, 2);
    cr_expect(strstr(r.err, "cannot read /nowhere: No such file"), "%s", r.err);
    command_free(&r);
}
