/* driver/chat_line.c -- lines of a conversation: libedit's on a terminal, else as they are read. */
#include "driver/chat_line.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/util.h" /* not driver.h: histedit.h has a Tokenizer, too */

enum { HISTORY = 200 };

static const char first_prompt[] = "> ", next_prompt[] = "... ";

struct ChatLine {
    EditLine *edit; /* NULL: there is no terminal */
    History *history;
    char *line; /* of getline */
    size_t cap;
    StrBuf whole;
    bool goes_on;
};

/* ---- Ctrl-C --------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void
on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

void
chat_catch_interrupts(void)
{
    struct sigaction act = {.sa_handler = on_interrupt}; /* calls that wait return */
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
}

bool
chat_interrupted(void)
{
    const bool was = interrupted != 0;
    interrupted = 0;
    return was;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static char *
prompt(EditLine *edit)
{
    void *data = NULL;
    el_get(edit, EL_CLIENTDATA, &data);
    const ChatLine *line = data;
    return (char *)(uintptr_t)(line->goes_on ? next_prompt : first_prompt);
}

static void
open_terminal(ChatLine *line)
{
    HistEvent event;
    setlocale(LC_CTYPE, ""); /* so that libedit knows how wide characters are */
    line->edit = el_init("ssmc", stdin, stdout, stderr);
    line->history = line->edit ? history_init() : NULL;
    if (!line->history)
        return; /* lines without editing */
    history(line->history, &event, H_SETSIZE, HISTORY);
    el_set(line->edit, EL_CLIENTDATA, line);
    el_set(line->edit, EL_PROMPT, prompt);
    el_set(line->edit, EL_EDITOR, "emacs");
    el_set(line->edit, EL_HIST, history, line->history);
}

ChatLine *
chat_line_open(bool terminal)
{
    ChatLine *line = calloc(1, sizeof *line);
    if (!line)
        die_no_memory(sizeof *line);
    if (terminal)
        open_terminal(line);
    return line;
}

void
chat_line_close(ChatLine *line)
{
    if (!line)
        return;
    if (line->history)
        history_end(line->history);
    if (line->edit)
        el_end(line->edit);
    free(line->line);
    sb_free(&line->whole);
    free(line);
}

/* One line as it is read, its end included. *taken_back: Ctrl-C. */
static const char *
read_line(ChatLine *line, size_t *len, bool *taken_back)
{
    errno = 0;
    *taken_back = false;
    if (line->edit) {
        int count = 0;
        /* Before the prompt is there, not after: what is typed in between would be lost. */
        el_set(line->edit, EL_PREP_TERM, 1);
        const char *text = el_gets(line->edit, &count);
        *len = count > 0 ? (size_t)count : 0;
        *taken_back = chat_interrupted() || (!text && count == -1 && errno == EINTR);
        return *len ? text : NULL;
    }
    const ssize_t n = getline(&line->line, &line->cap, stdin);
    if (n < 0 && errno == EINTR) {
        clearerr(stdin);
        *taken_back = true;
        chat_interrupted();
    }
    *len = n > 0 ? (size_t)n : 0;
    return n > 0 ? line->line : NULL;
}

static void
remember(ChatLine *line)
{
    HistEvent event;
    if (line->history && line->whole.len)
        history(line->history, &event, H_ENTER, line->whole.text);
}

const char *
chat_line_next(ChatLine *line)
{
    line->whole.len = 0;
    line->goes_on = false;
    for (;;) {
        size_t len = 0;
        bool taken_back = false;
        const char *text = read_line(line, &len, &taken_back);
        if (taken_back) {
            if (line->edit) {
                el_reset(line->edit);
                fputc('\n', stdout);
            }
            line->whole.len = 0;
            sb_puts(&line->whole, "");
            return line->whole.text;
        }
        if (!text && !line->goes_on)
            return NULL;
        const bool ended = len > 0 && text[len - 1] == '\n';
        len -= ended;
        const bool more = ended && len > 0 && text[len - 1] == '\\';
        sb_putn(&line->whole, text ? text : "", len - more);
        if (!more)
            break;
        sb_puts(&line->whole, "\n");
        line->goes_on = true;
    }
    remember(line);
    return line->whole.text;
}
