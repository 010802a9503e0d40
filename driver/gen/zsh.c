/* driver/gen/zsh.c -- completion for zsh: an _arguments line for each option of each command. */
#include <string.h>

#include "driver/gen/gen.h"

static const char head[] = "#compdef ssmc\n"
                           "# zsh completion of ssmc, made from its table of options.\n"
                           "_ssmc() {\n"
                           "  local context state state_descr line\n"
                           "  typeset -A opt_args\n"
                           "  _arguments -C '1:command:->command' '*::argument:->rest'\n"
                           "  case $state in\n"
                           "  command)\n"
                           "    local -a commands=(\n";

static const char tail[] = "    esac ;;\n"
                           "  esac\n"
                           "}\n"
                           "_ssmc \"$@\"\n";

/* Text inside single quotes, with a backslash before those of `marks`. */
static void
put_quoted(StrBuf *out, const char *text, const char *marks)
{
    for (; *text; text++) {
        if (*text == '\'') {
            sb_puts(out, "'\\''");
            continue;
        }
        if (strchr(marks, *text))
            sb_puts(out, "\\");
        sb_putn(out, text, 1);
    }
}

static void
put_offer(StrBuf *out, Offer offer, const char *words)
{
    switch (offer) {
    case OFFER_NOTHING:
        break;
    case OFFER_WORDS:
        sb_printf(out, "(%s)", words);
        break;
    case OFFER_LIST:
        sb_printf(out, "_values -s , name %s", words);
        break;
    case OFFER_FILES:
        sb_puts(out, "_files");
        break;
    case OFFER_FOLDERS:
        sb_puts(out, "_files -/");
        break;
    }
}

static void
put_option(StrBuf *out, OptId id)
{
    const OptInfo *info = &opt_info[id];
    const char *words = NULL;
    const Offer offer = gen_offer(id, &words);
    const bool flag = info->kind == OK_FLAG, many = info->kind == OK_LIST;
    sb_puts(out, "        ");
    if (info->letter) /* either spelling, then what both have in common */
        sb_printf(out, "'(-%c --%s)'{-%c%s,--%s%s}'", info->letter, info->name, info->letter,
                  flag ? "" : "+", info->name, flag ? "" : "=");
    else
        sb_printf(out, "'%s--%s%s", many ? "*" : "", info->name, flag ? "" : "=");
    sb_puts(out, "[");
    put_quoted(out, info->doc, "[]\\");
    sb_puts(out, "]");
    if (!flag) {
        sb_puts(out, ":");
        put_quoted(out, info->arg, ":\\");
        sb_puts(out, ":");
        put_offer(out, offer, words);
    }
    sb_puts(out, "' \\\n");
}

static void
put_command(StrBuf *out, Arena *arena, const CommandInfo *c)
{
    const char *words = NULL;
    const Offer offer = gen_offer_argument(arena, c, &words);
    sb_printf(out, "    %s)\n      _arguments \\\n", c->name);
    for (int i = 0; i < OPT_COUNT; i++)
        if (option_belongs((OptId)i, c->name))
            put_option(out, (OptId)i);
    sb_puts(out, "        '--help[how to use it]'");
    if (offer != OFFER_NOTHING) {
        sb_puts(out, " \\\n        '1:");
        put_quoted(out,
                   offer == OFFER_WORDS   ? "topic"
                   : offer == OFFER_FILES ? "MODEL"
                                          : "DIR",
                   ":");
        sb_puts(out, ":");
        put_offer(out, offer, words);
        sb_puts(out, "'");
    }
    sb_puts(out, " ;;\n");
}

void
gen_zsh(StrBuf *out)
{
    Arena *arena = arena_new();
    sb_puts(out, head);
    for (int i = 0; i < command_count; i++) {
        sb_printf(out, "      '%s:", command_info[i].name);
        put_quoted(out, command_info[i].doc, "\\");
        sb_puts(out, "'\n");
    }
    sb_puts(out, "    )\n    _describe command commands ;;\n  rest)\n    case $words[1] in\n");
    for (int i = 0; i < command_count; i++)
        put_command(out, arena, &command_info[i]);
    sb_puts(out, tail);
    arena_free(arena);
}
