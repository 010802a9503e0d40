/* explore/json.c -- results for programs. */
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>

#include "explore/explore.h"

typedef struct json_object Json;

static Json *
number_json(double x)
{
    char text[32];
    if (!isfinite(x))
        return NULL;
    snprintf(text, sizeof text, "%.6g", x);
    return json_object_new_double_s(x, text);
}

static Json *
cell_json(const ExploreRow *row, ColumnId id)
{
    const void *at = (const char *)row + column_info[id].offset;
    switch (column_info[id].kind) {
    case COLUMN_INT:
        return *(const int64_t *)at < 0 ? NULL : json_object_new_int64(*(const int64_t *)at);
    case COLUMN_NUM:
        return number_json(*(const double *)at);
    case COLUMN_TEXT:
        return json_object_new_string(*(const char *const *)at);
    }
    return NULL;
}

static Json *
row_json(const ExploreRow *row)
{
    Json *object = json_object_new_object();
    for (int id = 0; id < COLUMN_COUNT; id++)
        json_object_object_add(object, column_info[id].name, cell_json(row, (ColumnId)id));
    return object;
}

static Json *
ceilings_json(const BenchCeilings *c)
{
    Json *object = json_object_new_object();
    const struct {
        const char *name;
        const BenchSample *sample;
    } rates[] = {
        {"f32_gflops",  &c->f32 },
        {"bf16_gflops", &c->bf16},
        {"int8_gops",   &c->i8  },
        {"read_gbs",    &c->read},
    };
    json_object_object_add(object, "threads", json_object_new_int(c->threads));
    for (size_t i = 0; i < COUNT_OF(rates); i++)
        json_object_object_add(object, rates[i].name, number_json(rates[i].sample->median));
    return object;
}

void
explore_put_json(StrBuf *out, const ExploreTable *t)
{
    Json *root = json_object_new_object(), *rows = json_object_new_array(),
         *ceilings = json_object_new_array();
    for (int id = 0; id < HEAD_COUNT; id++)
        json_object_object_add(root, head_info[id].name, json_object_new_string(t->head[id]));
    for (int i = 0; i < t->nceilings; i++)
        json_object_array_add(ceilings, ceilings_json(&t->ceilings[i]));
    for (int i = 0; i < t->nrows; i++)
        json_object_array_add(rows, row_json(&t->rows[i]));
    json_object_object_add(root, "ceilings", ceilings);
    json_object_object_add(root, "rows", rows);
    sb_puts(out, json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
                                                          JSON_C_TO_STRING_NOSLASHESCAPE));
    sb_puts(out, "\n");
    json_object_put(root);
}
