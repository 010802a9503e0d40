/* explore/json.c -- results as JSON: what `ssmc explore --json` prints and its page is drawn from.
 */
#include "bench/json.h"

#include "explore/explore.h"

static Json *
cell_json(const ExploreRow *row, ColumnId id)
{
    const void *at = (const char *)row + column_info[id].offset;
    switch (column_info[id].kind) {
    case COLUMN_INT:
        return *(const int64_t *)at < 0 ? NULL : json_object_new_int64(*(const int64_t *)at);
    case COLUMN_NUM:
        return json_number(*(const double *)at);
    case COLUMN_TEXT:
        return json_object_new_string(*(const char *const *)at);
    }
    return NULL;
}

Json *
explore_rows_json(const ExploreTable *t)
{
    Json *rows = json_object_new_array();
    for (int i = 0; i < t->nrows; i++) {
        Json *row = json_object_new_object();
        for (int id = 0; id < COLUMN_COUNT; id++)
            json_put(row, column_info[id].name, cell_json(&t->rows[i], (ColumnId)id));
        json_object_array_add(rows, row);
    }
    return rows;
}

static Json *
ceilings_json(const ExploreTable *t)
{
    Json *all = json_object_new_array();
    for (int i = 0; i < t->nceilings; i++) {
        Json *object = json_object_new_object();
        json_put(object, "threads", json_object_new_int(t->ceilings[i].threads));
        for (int c = 0; c < CEILING_COUNT; c++)
            json_put(object, ceiling_info[c].key,
                     json_number(ceiling_of(&t->ceilings[i], c)->median));
        json_object_array_add(all, object);
    }
    return all;
}

/* ---- grids -------------------------------------------------------------------------------- */

/* Which of the rows it is; null: none. */
static Json *
index_json(const ExploreTable *t, const ExploreRow *row)
{
    return row ? json_object_new_int64(row - t->rows) : NULL;
}

/* What explore_say_* says, as the text of a key. */
static void
put_said(Json *object, const char *key, StrBuf *said)
{
    json_put_text(object, key, sb_text(said));
    sb_free(said);
}

/* Results are numbers of rows: cells [line][state], the fastest and the chosen [state]. */
static Json *
grid_json(const ExploreTable *t, const ExploreGrid *p, bool is_main)
{
    Json *object = json_object_new_object(), *states = json_object_new_array(),
         *lines = json_object_new_array(), *cells = json_object_new_array(),
         *best = json_object_new_array(), *chosen = json_object_new_array();
    StrBuf text = {0};
    for (int s = 0; s < p->nstates; s++) {
        json_object_array_add(states,
                              p->states[s] > 0 ? json_object_new_int64(p->states[s]) : NULL);
        json_object_array_add(best, index_json(t, grid_best(p, s, NULL)));
        json_object_array_add(chosen, index_json(t, grid_chosen(p, s)));
    }
    for (int l = 0; l < p->nlines; l++) {
        Json *line = json_object_new_object(), *of_line = json_object_new_array();
        json_put_text(line, "form", p->lines[l].form);
        json_put(line, "chunk",
                 p->lines[l].chunk > 0 ? json_object_new_int64(p->lines[l].chunk) : NULL);
        json_object_array_add(lines, line);
        for (int s = 0; s < p->nstates; s++)
            json_object_array_add(of_line, index_json(t, grid_at(p, l, s)));
        json_object_array_add(cells, of_line);
    }
    grid_title(&text, p, true);
    put_said(object, "title", &text);
    grid_title(&text, p, false);
    put_said(object, "sizes", &text);
    json_put_text(object, "dtype", p->key->dtype);
    json_put(object, "threads", json_object_new_int64(p->key->threads));
    json_put(object, "tokens", json_object_new_int64(p->key->tokens));
    json_put(object, "attention", cell_json(p->key, COLUMN_attention));
    json_put(object, "main", json_object_new_boolean(is_main));
    explore_say_best(&text, p);
    put_said(object, "fastest", &text);
    explore_say_fall(&text, p);
    put_said(object, "fall", &text);
    json_put(object, "states", states);
    json_put(object, "lines", lines);
    json_put(object, "cells", cells);
    json_put(object, "best", best);
    json_put(object, "chosen", chosen);
    return object;
}

static Json *
choices_json(const ExploreTable *t, const ExploreChoices *choices)
{
    Json *object = json_object_new_object(), *list = json_object_new_array();
    StrBuf text = {0};
    for (int i = 0; i < choices->count; i++) {
        const ExploreMiss *m = &choices->all[i];
        Json *choice = json_object_new_object();
        json_put(choice, "chosen", index_json(t, m->chosen));
        json_put(choice, "best", index_json(t, m->best));
        json_put(choice, "behind", json_number(m->behind));
        json_object_array_add(list, choice);
    }
    explore_say_choices(&text, choices);
    put_said(object, "says", &text);
    json_put(object, "list", list);
    return object;
}

Json *
explore_json(const ExploreTable *t)
{
    Arena *arena = arena_new();
    Json *root = json_object_new_object(), *all = json_object_new_array(),
         *attention = json_object_new_array();
    ExploreGrid *grids = NULL;
    StrBuf text = {0};
    const int count = explore_grids(arena, t, &grids);
    const ExploreChoices choices = explore_choices(arena, grids, count);
    for (int id = 0; id < HEAD_COUNT; id++)
        json_put_text(root, head_info[id].name, t->head[id]);
    json_put(root, "ceilings", ceilings_json(t));
    json_put(root, "rows", explore_rows_json(t));
    for (int i = 0; i < count; i++)
        json_object_array_add(all, grid_json(t, &grids[i], grid_is_main(grids, count, i)));
    json_put(root, "grids", all);
    json_put(root, "choices", choices_json(t, &choices));
    for (int f = 0; f < FORMAT_COUNT; f++) {
        explore_say_attention(&text, t, format_info[f].name);
        if (text.len > 0)
            json_object_array_add(attention, json_object_new_string(sb_text(&text)));
        sb_free(&text);
    }
    json_put(root, "attention", attention);
    explore_say_predicted(&text, t);
    put_said(root, "predicted", &text);
    explore_say_noise(&text, t);
    put_said(root, "noise", &text);
    arena_free(arena);
    return root;
}

void
explore_put_json(StrBuf *out, const ExploreTable *t)
{
    json_write(out, explore_json(t), true);
    sb_puts(out, "\n");
}
