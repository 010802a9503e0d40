/* driver/cmd_import.c -- ssmc import: the YAML of a published checkpoint directory. */
#include <stdio.h>

#include "driver/driver.h"

int
cmd_import(Options *o)
{
    if (!o->model)
        return fault(EXIT_BAD_INPUT, "which directory? usage: ssmc import %s", o->command->args);
    Diag *diag = diag_new();
    StrBuf yaml = {0};
    const char *path = opt_text(o, OPT_out), *why = NULL;
    int status = EXIT_DONE;
    if (!fe_import(o->arena, o->model, diag, &yaml))
        status = diag_fault(diag);
    else if (!path)
        fputs(sb_text(&yaml), stdout);
    else if (!file_write(o->arena, path, sb_text(&yaml), yaml.len, &why))
        status = fault(EXIT_BAD_INPUT, "%s", why);
    notes_say(diag);
    sb_free(&yaml);
    diag_free(diag);
    return status;
}
