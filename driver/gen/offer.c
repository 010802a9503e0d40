/* driver/gen/offer.c -- what a shell offers where an argument is wanted, whichever shell it is. */
#include <string.h>

#include "driver/gen/gen.h"

static bool
starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

Offer
gen_offer(OptId id, const char **words)
{
    const char *arg = opt_info[id].arg;
    switch (option_words(id, words)) {
    case WORDS_ONE:
    case WORDS_SOME:
        return OFFER_WORDS;
    case WORDS_LIST:
        return OFFER_LIST;
    case WORDS_NONE:
        break;
    }
    return starts(arg, "FILE") ? OFFER_FILES : starts(arg, "DIR") ? OFFER_FOLDERS : OFFER_NOTHING;
}

/* "[COMMAND|keys|ops]": the names of the commands, keys and ops. */
static const char *
choices(Arena *arena, const char *args)
{
    StrBuf out = {0};
    const char *at = args + 1;
    for (size_t len; *at && *at != ']'; at += len + (at[len] == '|')) {
        len = strcspn(at, "|]");
        if (starts(at, "COMMAND"))
            for (int i = 0; i < command_count; i++)
                sb_printf(&out, "%s ", command_info[i].name);
        else
            sb_printf(&out, "%.*s ", (int)len, at);
    }
    const char *text = arena_strndup(arena, sb_text(&out), out.len - (out.len > 0));
    sb_free(&out);
    return text;
}

Offer
gen_offer_argument(Arena *arena, const CommandInfo *c, const char **words)
{
    *words = NULL;
    if (takes_model(c->name))
        return OFFER_FILES;
    if (starts(c->args, "DIR"))
        return OFFER_FOLDERS;
    if (c->args[0] != '[' || !strchr(c->args, '|'))
        return OFFER_NOTHING;
    *words = choices(arena, c->args);
    return OFFER_WORDS;
}
