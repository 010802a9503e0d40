/* tests/unit/test_run_chat.c -- ssmc run --chat, through pipes and on a terminal. */
#include <criterion/criterion.h>

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ir/util.h"
#include "tests/harness.h"
#include "tests/model_run.h"

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ssmc run STORYTELLER --chat and more, the lines on standard input. */
static CommandResult
chat(int status, const char *lines, const char *const *more)
{
    const char *argv[32] = {SSMC_BINARY, "run", STORYTELLER, "--chat", "--greedy", "-n", "12"};
    for (size_t n = 7; *more; n++) {
        cr_assert_lt(n, 31u);
        argv[n] = *more++;
    }
    const CommandResult r = command_run(argv, lines, strlen(lines));
    cr_assert_eq(r.status, status, "status %d: %s", r.status, r.err);
    return r;
}

static void
expect_fault(const char *lines, const char *const *args, const char *says)
{
    CommandResult r = chat(2, lines, args);
    cr_expect(strstr(r.err, says), "stderr lacks '%s':\n%s", says, r.err);
    command_free(&r);
}

/* Ids that turn `number` read and knew before, of what is said on stderr. */
static void
counts(const char *err, int number, long *fed, long *known)
{
    char head[32];
    snprintf(head, sizeof head, "turn     %d: ", number);
    const char *at = strstr(err, head);
    cr_assert(at, "no '%s' in\n%s", head, err);
    cr_assert_eq(sscanf(at + strlen(head), "%ld tokens read, %ld known", fed, known), 2);
}

#define PLAIN "--chat-format", "plain"

Test(run_chat, a_turn_reads_what_is_new_alone)
{
    CommandResult whole = chat(0, "Hello\nWho are you?\nAnd then?\n", ARGS(PLAIN));
    long fed = 0, known = 0, total = 0;
    for (int turn = 1; turn <= 3; turn++) {
        counts(whole.err, turn, &fed, &known);
        cr_expect_eq(known, total, "turn %d: %ld known of %ld", turn, known, total);
        total = known + fed + 11; /* the last id of an answer is drawn, not read */
    }
    /* The same as one that reads all of it at once. */
    CommandResult again = chat(0, "Hello\nWho are you?\nAnd then?\n", ARGS(PLAIN));
    cr_expect_str_eq(whole.out, again.out);
    command_free(&whole);
    command_free(&again);
}

Test(run_chat, a_saved_conversation_goes_on_as_if_it_had_not_stopped)
{
    char *dir = temp_dir(), *path = path_join(dir, "c.state");
    CommandResult whole = chat(0, "Hello\nAnd then?\n", ARGS(PLAIN));
    CommandResult a = chat(0, "Hello\n", ARGS(PLAIN, "--save-state", path));
    CommandResult b = chat(0, "And then?\n", ARGS(PLAIN, "--load-state", path));
    char *line = text_replace("/load PATH\nAnd then?\n", "PATH", path);
    CommandResult c = chat(0, line, ARGS(PLAIN));
    long fed = 0, known = 0, fed_whole = 0, known_whole = 0;
    StrBuf both = {0};
    sb_printf(&both, "%s%s", a.out, b.out);
    cr_expect_str_eq(sb_text(&both), whole.out);
    cr_expect_str_eq(b.out, c.out);
    counts(whole.err, 2, &fed_whole, &known_whole);
    counts(b.err, 1, &fed, &known);
    cr_expect(fed == fed_whole && known == known_whole, "%ld %ld", fed, known);
    sb_free(&both);
    free(line);
    command_free(&whole);
    command_free(&a);
    command_free(&b);
    command_free(&c);
    expect_fault("Hello\n", ARGS(PLAIN, "--load-state", STORYTELLER), "");
    free(path);
    temp_dir_remove(dir);
}

Test(run_chat, undo_and_reset_go_back)
{
    CommandResult once = chat(0, "Hello\nWhy?\n", ARGS(PLAIN));
    CommandResult undone = chat(0, "Hello\nNo!\n/undo\nWhy?\n", ARGS(PLAIN));
    CommandResult reset = chat(0, "No!\n/reset\nHello\nWhy?\n", ARGS(PLAIN));
    const char *const second = strchr(once.out, '\n');
    cr_expect(second && strstr(undone.out, second), "%s\n%s", once.out, undone.out);
    cr_expect(strstr(reset.out, once.out), "%s\n%s", once.out, reset.out);
    long fed = 0, known = 0, fed_undone = 0, known_undone = 0;
    counts(once.err, 2, &fed, &known);
    counts(undone.err, 3, &fed_undone, &known_undone);
    cr_expect(fed == fed_undone && known == known_undone, "%ld %ld", fed_undone, known_undone);
    command_free(&once);
    command_free(&undone);
    command_free(&reset);
}

Test(run_chat, the_cache_has_what_an_earlier_conversation_read)
{
    char *dir = temp_dir();
    CommandResult first = chat(0, "Hello\n", ARGS(PLAIN, "--cache-dir", dir));
    CommandResult second = chat(0, "Hello\n", ARGS(PLAIN, "--cache-dir", dir));
    long fed = 0, known = 0;
    cr_expect_str_eq(first.out, second.out);
    counts(second.err, 1, &fed, &known);
    cr_expect_gt(known, 0);
    command_free(&first);
    command_free(&second);
    temp_dir_remove(dir);
}

/* A template that drops earlier reasoning: the sequence goes back to the state behind the message,
 * and reads the answer as it stands now. */
Test(run_chat, where_a_template_changes_what_was_said_the_state_goes_back)
{
    static const char template[] = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n"
                                   "{% endfor %}{% if add_generation_prompt %}assistant: "
                                   "(thinking) {% endif %}";
    char *dir = temp_dir(), *path = path_join(dir, "t.jinja");
    cr_assert(write_whole(path, template, strlen(template)));
    CommandResult r = chat(0, "Hello there\nAgain\n", ARGS("--chat-template", path));
    long fed[2], known[2];
    counts(r.err, 1, &fed[0], &known[0]);
    counts(r.err, 2, &fed[1], &known[1]);
    cr_expect(known[1] > 0 && known[1] < fed[0], "%ld of %ld", known[1], fed[0]);
    command_free(&r);
    free(path);
    temp_dir_remove(dir);
}

Test(run_chat, commands_and_options_say_what_is_wrong)
{
    CommandResult r =
        chat(0, "/undo\n/rest\n/save\n/load nothing-there\n/help\n/quit\nnever\n", ARGS(PLAIN));
    static const char *const says[] = {"there is nothing to take back",
                                       "no command /rest; did you mean /reset?",
                                       "/save wants a file", "nothing-there", "/system TEXT"};
    for (size_t i = 0; i < COUNT_OF(says); i++)
        cr_expect(strstr(r.err, says[i]), "no '%s' in\n%s", says[i], r.err);
    cr_expect_str_eq(r.out, "");
    command_free(&r);
    expect_fault("Hello\n", ARGS("--seed", "1"), "--chat-format names the format");
    expect_fault("Hello\n", ARGS(PLAIN, "-p", "x"), "-p and --prompt-file have no place in it");
    expect_fault("Hello\n", ARGS("--chat-format", "x"), "--chat-format wants granite");
    expect_fault("Hello\n", ARGS("--chat-template", "nothing-there"), "cannot read nothing-there");
    expect_fault("\xFF\n", ARGS(PLAIN), "the message is not UTF-8");
    const char *const alone[] = {SSMC_BINARY, "run", STORYTELLER, "-p", "x", "--system", "y", NULL};
    CommandResult s = command_run(alone, NULL, 0);
    cr_expect(s.status == 2 && strstr(s.err, "--system is for conversations: give --chat, too"));
    command_free(&s);
}

Test(run_chat, the_files_beside_a_tokenizer_say_the_template)
{
    char *dir = temp_dir();
    static const char *const files[] = {"model.safetensors", "config.json", "tokenizer.json"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char *from = path_join(SSMC_ROOT "/examples/storyteller", files[i]),
             *to = path_join(dir, files[i]);
        cr_assert_eq(symlink(from, to), 0);
        free(from);
        free(to);
    }
    char *config = path_join(dir, "tokenizer_config.json"),
         *own = path_join(dir, "chat_template.jinja");
    static const char json[] =
        "{\"chat_template\": [{\"name\": \"x\", \"template\": \"{% nosuch %}\"}, "
        "{\"name\": \"default\", \"template\": \"{{ 1|nosuch }}\"}]}",
                      broken[] = "{", jinja[] = "{{ messages[0].content }}";
    const char *argv[] = {SSMC_BINARY, "run", dir, "--chat", "-n", "2", "--greedy", NULL};
    const struct {
        const char *path, *text, *says;
        int status;
    } steps[] = {
        {config, json,   "unknown filter `nosuch`",        2},
        {config, broken, "is not a JSON object",           2},
        {config, "{}",   "--chat-format names the format", 2},
        {own,    jinja,  "1 turns",                        0}
    };
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        cr_assert(write_whole(steps[i].path, steps[i].text, strlen(steps[i].text)));
        CommandResult r = command_run(argv, "Hello\n", 6);
        cr_expect_eq(r.status, steps[i].status, "%s", r.err);
        cr_expect(strstr(r.err, steps[i].says), "no '%s' in\n%s", steps[i].says, r.err);
        command_free(&r);
    }
    /* A library that is made of it has the template inside. */
    char *so = path_join(dir, "m.so");
    CommandResult made =
        command_run(ARGS(SSMC_BINARY, "compile", dir, "--emit", "so", "-o", so), NULL, 0);
    CommandResult r =
        command_run(ARGS(SSMC_BINARY, "run", so, "--chat", "-n", "2", "--greedy"), "Hello\n", 6);
    cr_expect(made.status == 0 && r.status == 0, "%s%s", made.err, r.err);
    cr_expect(strstr(r.err, "1 turns"), "%s", r.err);
    command_free(&made);
    command_free(&r);
    free(so);
    free(config);
    free(own);
    temp_dir_remove(dir);
}

/* ---- a terminal -------------------------------------------------------------------------------
 */

/* What comes of a terminal until `what` has come behind `from`; false: it has not. */
static bool
wait_for(int terminal, StrBuf *seen, size_t from, const char *what)
{
    while (!strstr(sb_text(seen) + from, what)) {
        char bytes[4096];
        struct pollfd ready = {.fd = terminal, .events = POLLIN};
        if (poll(&ready, 1, IDLE_SECONDS * 1000) != 1)
            return false;
        const ssize_t n = read(terminal, bytes, sizeof bytes);
        if (n <= 0)
            return false;
        sb_putn(seen, bytes, (size_t)n);
    }
    return true;
}

static void
type(int terminal, const char *text)
{
    cr_assert_eq(write(terminal, text, strlen(text)), (ssize_t)strlen(text));
}

Test(run_chat, on_a_terminal_lines_are_edited_and_ctrl_c_ends_an_answer)
{
    int terminal = -1;
    const pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    cr_assert_geq(child, 0);
    if (child == 0) {
        setenv("TERM", "xterm", 1);
        execl(SSMC_BINARY, SSMC_BINARY, "run", STORYTELLER, "--chat", PLAIN, "--ignore-eos",
              "--greedy", "-n", "100000", (char *)NULL);
        _exit(127);
    }
    StrBuf seen = {0};
    int status = -1;
    cr_assert(wait_for(terminal, &seen, 0, "> "), "%s", sb_text(&seen));
    type(terminal, "/hexx\b\blp\r"); /* taken back by the editor */
    cr_assert(wait_for(terminal, &seen, 0, "/quit"), "%s", sb_text(&seen));
    size_t from = (size_t)(strstr(seen.text, "/quit") - seen.text);
    /* Before the next prompt the terminal is not the editor's: it would show what is typed itself.
     */
    cr_assert(wait_for(terminal, &seen, from, "> "), "%s", sb_text(&seen));
    from = seen.len;
    type(terminal, "Tell me all.\r");
    /* The answer has begun: the terminal is no longer the editor's, and Ctrl-C is a signal. */
    cr_assert(wait_for(terminal, &seen, from, "\r\n"), "%s", sb_text(&seen));
    from = (size_t)(strstr(seen.text + from, "\r\n") + 2 - seen.text);
    cr_assert(wait_for(terminal, &seen, from, " "), "%s", sb_text(&seen));
    type(terminal, "\003");
    cr_assert(wait_for(terminal, &seen, from, "Ctrl-C"), "%s", sb_text(&seen));
    cr_assert(wait_for(terminal, &seen, from, "> "), "%s", sb_text(&seen));
    type(terminal, "\004");
    while (wait_for(terminal, &seen, seen.len, "never"))
        continue;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d: %s", status, sb_text(&seen));
    cr_expect(strstr(sb_text(&seen), "1 turns"), "%s", sb_text(&seen));
    close(terminal);
    sb_free(&seen);
}
