/* driver/gen/bash.c -- completion for bash: for each command the options it has, and what each
 * option's argument may be. */
#include "driver/gen/gen.h"

static const char head[] = "# bash completion of ssmc, made from its table of options.\n"
                           "_ssmc()\n"
                           "{\n"
                           "    local cur=$2 before=$3 command=${COMP_WORDS[1]} offer=options "
                           "words= options= argument= IFS=$' \\t\\n'\n"
                           "    COMPREPLY=()\n"
                           "    # --option=value comes as three words\n"
                           "    if [[ $cur == = ]]; then\n"
                           "        cur=\n"
                           "    elif [[ $before == = ]]; then\n"
                           "        before=${COMP_WORDS[COMP_CWORD-2]}\n"
                           "    fi\n"
                           "    ((COMP_CWORD == 1)) && command=\n"
                           "    case $command in\n";

static const char tail[] = "    *)\n"
                           "        return ;;\n"
                           "    esac\n"
                           "    if [[ $offer == options && $cur == -* ]]; then\n"
                           "        COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
                           "        return\n"
                           "    fi\n"
                           "    [[ $offer == options ]] && offer=$argument\n"
                           "    case $offer in\n"
                           "    words)\n"
                           "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
                           "    list)\n"
                           "        COMPREPLY=($(compgen -P \"${cur%\"${cur##*,}\"}\" -W "
                           "\"$words\" -- \"${cur##*,}\")) ;;\n"
                           "    files)\n"
                           "        compopt -o filenames\n"
                           "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n"
                           "    folders)\n"
                           "        compopt -o filenames\n"
                           "        mapfile -t COMPREPLY < <(compgen -d -- \"$cur\") ;;\n"
                           "    esac\n"
                           "}\n"
                           "complete -F _ssmc ssmc\n";

static const char *const offer_name[] = {[OFFER_NOTHING] = "nothing",
                                         [OFFER_WORDS] = "words",
                                         [OFFER_LIST] = "list",
                                         [OFFER_FILES] = "files",
                                         [OFFER_FOLDERS] = "folders"};

/* The spellings of an option, with that between them. */
static void
put_spellings(StrBuf *out, OptId id, const char *between)
{
    if (opt_info[id].letter)
        sb_printf(out, "-%c%s", opt_info[id].letter, between);
    sb_printf(out, "--%s", opt_info[id].name);
}

static void
put_option(StrBuf *out, OptId id)
{
    const char *words = NULL;
    const Offer offer = gen_offer(id, &words);
    if (opt_info[id].kind == OK_FLAG)
        return;
    sb_puts(out, "        ");
    put_spellings(out, id, "|");
    sb_printf(out, ")\n            offer=%s", offer_name[offer]);
    if (words)
        sb_printf(out, " words='%s'", words);
    sb_puts(out, " ;;\n");
}

static void
put_command(StrBuf *out, Arena *arena, const CommandInfo *c)
{
    const char *words = NULL;
    const Offer offer = gen_offer_argument(arena, c, &words);
    sb_printf(out, "    %s)\n        argument=%s words='%s'\n        options='", c->name,
              offer_name[offer], words ? words : "");
    for (int i = 0; i < OPT_COUNT; i++) {
        if (!option_belongs((OptId)i, c->name))
            continue;
        put_spellings(out, (OptId)i, " ");
        sb_puts(out, " ");
    }
    sb_puts(out, "--help'\n        case $before in\n");
    for (int i = 0; i < OPT_COUNT; i++)
        if (option_belongs((OptId)i, c->name))
            put_option(out, (OptId)i);
    sb_puts(out, "        esac ;;\n");
}

void
gen_bash(StrBuf *out)
{
    Arena *arena = arena_new();
    sb_puts(out, head);
    sb_puts(out, "    '')\n        offer=words words='");
    for (int i = 0; i < command_count; i++)
        sb_printf(out, "%s ", command_info[i].name);
    sb_puts(out, "--help --version' ;;\n");
    for (int i = 0; i < command_count; i++)
        put_command(out, arena, &command_info[i]);
    sb_puts(out, tail);
    arena_free(arena);
}
