/* driver/cmd_import.c -- ssmc import: the YAML of a published checkpoint directory. */
#include <stdio.h>

#include "driver/driver.h"

int
cmd_import(Options *o)
{
    if (!o->model)
        return fault(EXIT_BAD_INPUT, "which directory? usage: ssmc import %s", o->command->args);
    if (model_is_readable(o->arena, o->model, console(o->arena)) != EXIT_DONE)
        return EXIT_BAD_INPUT;
    Diag *diag = diag_new();
    StrBuf yaml = {0};
    FeModel model;
    const char *path = opt_text(o, OPT_out), *why = NULL;
    int status = EXIT_DONE;
    bool ok = fe_import(o->arena, o->model, NULL, diag, &yaml, &model), untied = false;
    if (ok &&
        model.tied.tensor) { /* what else there is to say of the weights comes with their use */
        ssmc_weights *weights = NULL;
        Diag *unused = diag_new();
        untied = rt_weights_open(model.graph->weights_path, &weights) == SSMC_OK &&
                 bind_weights(model.graph, weights, &model, unused) == BIND_UNTIED;
        rt_weights_close(weights);
        diag_free(unused);
    }
    if (untied) {
        diag_take_notes(diag, &yaml); /* they come again */
        sb_free(&yaml);
        ok = fe_import(o->arena, o->model, model.tied.untie, diag, &yaml, &model);
        say("note: the checkpoint's head differs from its embedding: tie_embeddings is false");
    }
    if (!ok)
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
