/* tests/unit/test_safetensors.c -- safetensors files: hostile ones refused with a message that says
 * what and where, good ones read whatever their alignment, checkpoint directories, files written
 * and read back. */
#include <criterion/criterion.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codegen/codegen.h"
#include "runtime/internal.h"
#include "tests/harness.h"

/* ---- files in memory ----------------------------------------------------------------------- */

typedef struct {
    char *bytes;
    size_t len;
} Blob;

/* A file with this header and `data` bytes 0, 1, 2 ... behind it. */
static Blob
blob(const char *header, size_t data)
{
    const size_t n = strlen(header);
    Blob b = {malloc(8 + n + data), 8 + n + data};
    for (size_t i = 0; i < 8; i++)
        b.bytes[i] = (char)(n >> 8 * i);
    memcpy(b.bytes + 8, header, n);
    for (size_t i = 0; i < data; i++)
        b.bytes[8 + n + i] = (char)i;
    return b;
}

static void
put_blob(const char *dir, const char *name, const char *header, size_t data)
{
    Blob b = blob(header, data);
    char *path = path_join(dir, name);
    cr_assert(write_whole(path, b.bytes, b.len));
    free(path);
    free(b.bytes);
}

/* Both that it is refused and that the message has every piece of `says`, separated by '|'. */
static void
refused(const void *bytes, size_t len, const char *says)
{
    /* A copy of the exact size, so that the address sanitizer sees a read past the end. */
    char *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    RtTensorFile *file = (RtTensorFile *)copy;
    cr_expect_eq(rt_tensors_from(copy, len, "evil.safetensors", &file), SSMC_BAD_FILE, "%s", says);
    cr_expect_null(file);
    free(copy);
    char *pieces = strdup(says);
    for (char *piece = strtok(pieces, "|"); piece; piece = strtok(NULL, "|"))
        cr_expect(strstr(ssmc_error(), piece), "expected '%s' in '%s'", piece, ssmc_error());
    cr_expect(strstr(ssmc_error(), "evil.safetensors"), "no file in '%s'", ssmc_error());
    free(pieces);
}

/* ---- hostile headers ----------------------------------------------------------------------- */

#define T(name, dtype, shape, from, to)                                                            \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" from "," to   \
    "]}"

static const struct {
    const char *header;
    size_t data;
    const char *says;
} hostile[] = {
    /* JSON */
    {"", 0, "header is not valid JSON|too early, at byte 0"},
    {"[]", 0, "header: expected an object, found a list"},
    {"{", 0, "too early, at byte 1"},
    {"{} x", 0, "not valid JSON: byte 3"},
    {"{}{}", 0, "not valid JSON: byte 2"},
    {"{,}", 0, "not valid JSON: byte 1"},
    {"{\"a\" 1}", 0, "not valid JSON: byte 5"},
    {"/* a */ {}", 0, "not valid JSON: byte 0"},
    {"{" T("a", "F32", "1", "0", "4") ",}", 4, "not valid JSON: byte 54"},
    {"{" T("a", "F32", "1", "0", "4") " " T("b", "F32", "1", "4", "8") "}", 8,
     "not valid JSON: byte 54"},
    {"{\"a\\q\":{}}", 0, "not valid JSON: byte 4"},
    {"{\"\\u12g4\":{}}", 0, "not valid JSON: byte 6"},
    {"{\"\xff\":{}}", 0, "not valid JSON: byte 2|utf-8"},
    {"{\"\xc3(\":{}}", 0, "not valid JSON: byte 3|utf-8"},
    {"{\"a", 0, "too early, at byte 3"},
    {"{\"a\\", 0, "too early, at byte 4"},
    {"{\"a\\u00", 0, "too early, at byte 7"},
    {"{\"__metadata__\":tru}", 0, "not valid JSON: byte 19"},
    {"{\"__metadata__\":{\"a\":01}}", 0, "not valid JSON: byte 23"},
    {"{\"__metadata__\":-}", 0, "not valid JSON: byte 17"},
    /* what a tensor must have */
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "'a'|no data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "'a'|no shape"},
    {"{\"a\":1}", 0, "tensor 'a' is a number; expected an object"},
    {"{\"a\":{}}", 0, "'a'|no dtype"},
    {"{\"a\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,4]}}", 4, "'a': dtype: found 4"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":{},\"data_offsets\":[0,4]}}", 4,
     "'a': shape: found an object; expected a list"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":null}}", 4,
     "'a': data_offsets: found null; expected a list"},
    {"{" T("a", "Q17", "1", "0", "4") "}", 4, "'a'|unknown dtype 'Q17'|F32"},
    {"{" T("a", "f32", "1", "0", "4") "}", 4, "unknown dtype 'f32'"},
    {"{" T("a", "F32", "-1", "0", "4") "}", 4, "'a': shape: found -1; expected a whole number"},
    {"{" T("a", "F32", "1.5", "0", "4") "}", 4, "'a': shape: found 1.5; expected a whole number"},
    {"{" T("a", "F32", "1e3", "0", "4") "}", 4, "a whole number"},
    {"{" T("a", "F32", "01", "0", "4") "}", 4, "not valid JSON: byte 31"},
    {"{" T("a", "F32", "\"1\"", "0", "4") "}", 4, "a whole number"},
    {"{" T("a", "F32", "1,", "0", "4") "}", 4, "not valid JSON: byte 31"},
    {"{" T("a", "F32", "9223372036854775808", "0", "4") "}", 4, "found a larger number|2^63-1"},
    {"{" T("a", "F32", "99999999999999999999999999", "0", "4") "}", 4, "found a larger number"},
    {"{" T("a", "F32", "4294967296,4294967296", "0", "0") "}", 0, "'a'|no size a file can have"},
    {"{" T("a", "F32", "4611686018427387904,1", "0", "0") "}", 0, "'a'|no size a file can have"},
    {"{" T("a", "F32", "1,1,1,1,1,1,1,1,1", "0", "4") "}", 4,
     "'a': shape has 9 numbers; at most 8"},
    {"{" T("a", "F4", "3", "0", "1") "}", 1, "'a'|no size a file can have"},
    /* offsets */
    {"{" T("a", "F32", "2", "0", "4") "}", 4, "'a'|[0,4] are 4 bytes|F32 [2] takes 8"},
    {"{" T("a", "F32", "2", "0", "8") "}", 4, "'a'|[0,8]|4 bytes of data"},
    {"{" T("a", "F32", "2", "8", "0") "}", 8, "'a'|[8,0]"},
    {"{" T("a", "F32", "1", "9223372036854775800", "9223372036854775804") "}", 4,
     "'a'|4 bytes of data"},
    {"{" T("a", "F32", "1", "0", "18446744073709551615") "}", 4,
     "data_offsets: found a larger number"},
    {"{" T("a", "F32", "1", "4", "8") "}", 8, "'a'|byte 4|ends at 0|without gaps"},
    {"{" T("a", "F32", "1", "0", "4") "}", 8, "8 bytes of data|end at byte 4"},
    {"{}", 1, "1 bytes of data|end at byte 0"},
    {"{" T("a", "F32", "2", "0", "8") "," T("b", "F32", "1", "4", "8") "}", 8,
     "'b'|byte 4|ends at 8|without overlap"},
    {"{" T("a", "F32", "1", "0", "4") "," T("b", "F32", "1", "0", "4") "}", 4, "without overlap"},
    {"{" T("a", "F32", "1", "0", "4") "," T("b", "F32", "1", "8", "12") "}", 12,
     "'b'|without gaps"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "'a'|fewer than 2"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4,
     "'a': data_offsets has 3 numbers; at most 2"},
    /* the last of two tensors of one name counts, and leaves the bytes of the first uncovered */
    {"{" T("a", "F32", "1", "0", "4") "," T("a", "F32", "1", "4", "8") "}", 8,
     "'a'|byte 4|ends at 0|without gaps"},
    {"{" T("a", "U8", "1", "0", "1") "," T("\\u0061", "U8", "1", "1", "2") "}", 2,
     "'a'|without gaps"},
};

Test(safetensors, refuses_hostile_headers)
{
    for (size_t i = 0; i < RT_COUNT(hostile); i++) {
        Blob b = blob(hostile[i].header, hostile[i].data);
        refused(b.bytes, b.len, hostile[i].says);
        free(b.bytes);
    }
}

Test(safetensors, refuses_hostile_lengths)
{
    refused("", 0, "0 bytes|8 bytes of header length");
    refused("\1\0\0", 3, "3 bytes|8 bytes of header length");
    refused("\3\0\0\0\0\0\0\0{}", 10, "header of 3 bytes|2 follow");
    refused("\377\377\377\377\377\377\377\377{}", 10, "18446744073709551615 bytes|2 follow");
    const size_t len = 100000001 + 8;
    char *huge = calloc(len, 1);
    memcpy(huge, "\1\341\365\5", 4); /* 100000001 */
    RtTensorFile *file = NULL;
    cr_assert_eq(rt_tensors_from(huge, len, "huge", &file), SSMC_BAD_FILE);
    cr_assert(strstr(ssmc_error(), "100000001"), "%s", ssmc_error());
    cr_assert(strstr(ssmc_error(), "100000000"), "%s", ssmc_error());
    free(huge);
}

Test(safetensors, refuses_deep_nesting_without_deep_recursion)
{
    const size_t depth = 1000000;
    char *header = malloc(depth + 32);
    const size_t n = (size_t)sprintf(header, "{\"__metadata__\":");
    memset(header + n, '[', depth);
    header[n + depth] = '\0';
    Blob b = blob(header, 0);
    refused(b.bytes, b.len, "not valid JSON: byte 47|nesting");
    free(header);
    free(b.bytes);
}

/* A value takes far more memory than its few bytes of text, so their number is bounded. */
Test(safetensors, refuses_more_values_than_a_model_has)
{
    const size_t pairs = 1 << 20;
    char *header = malloc(pairs * 2 + 32);
    size_t n = (size_t)sprintf(header, "{\"__metadata__\":[0");
    for (size_t i = 0; i < pairs; i++, n += 2)
        memcpy(header + n, ",0", 2);
    strcpy(header + n, "]}");
    Blob b = blob(header, 0);
    refused(b.bytes, b.len, "header|too many values|1048576");
    free(header);
    free(b.bytes);
}

Test(safetensors, skips_fields_of_later_formats)
{
    Blob b = blob("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],"
                  "\"layout\":{\"order\":[1,0]},\"scale\":0.5}}",
                  1);
    RtTensorFile *file;
    cr_assert_eq(rt_tensors_from(b.bytes, b.len, "f", &file), SSMC_OK, "%s", ssmc_error());
    cr_assert_eq(rt_tensors_count(file), 1);
    rt_tensors_close(file);
    free(b.bytes);
}

Test(safetensors, hostile_names_do_not_reach_the_terminal)
{
    Blob b = blob("{" T("\\u001b[31mred", "XX", "", "0", "0") "}", 0);
    refused(b.bytes, b.len, "'?[31mred'");
    free(b.bytes);
}

/* Every change of a byte, and then many random ones, either reads or is refused. */
Test(safetensors, survives_mutations)
{
    Blob good = blob(
        "{\"__metadata__\":{\"k\":[1,-2.5e3,null,\"\\u00e9\"]}," T(
            "a", "F32", "2,3", "0", "24") "," T("\\ud83d\\ude00", "BF16", "2", "24",
                                                "28") "," T("z", "I64", "0,7", "28", "28") "}  ",
        28);
    RtTensorFile *file;
    cr_assert_eq(rt_tensors_from(good.bytes, good.len, "good", &file), SSMC_OK, "%s", ssmc_error());
    cr_assert_eq(rt_tensors_count(file), 3);
    rt_tensors_close(file);
    uint64_t random = 1;
    for (int i = 0; i < 30000; i++) {
        char *bytes = malloc(good.len);
        memcpy(bytes, good.bytes, good.len);
        const size_t len = i % 4 ? good.len : good.len - (size_t)i % good.len;
        for (int k = 0; k <= i % 3; k++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            bytes[(random >> 33) % good.len] = (char)(random >> 20);
        }
        char *exact = malloc(len ? len : 1);
        memcpy(exact, bytes, len);
        if (rt_tensors_from(exact, len, "mutated", &file) == SSMC_OK)
            rt_tensors_close(file);
        else
            cr_assert_neq(ssmc_error()[0], '\0');
        free(exact);
        free(bytes);
    }
    free(good.bytes);
}

/* ---- reading ------------------------------------------------------------------------------- */

Test(safetensors, finds_tensors_among_thousands)
{
    enum { MANY = 5000 };
    char *header = malloc(MANY * 80), *at = header;
    for (int i = 0; i < MANY; i++)
        at += sprintf(at,
                      "%c\"layers.%d.w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                      i ? ',' : '{', i * 7919 % MANY, i, i + 1);
    strcpy(at, "}");
    Blob b = blob(header, MANY);
    RtTensorFile *file;
    cr_assert_eq(rt_tensors_from(b.bytes, b.len, "many", &file), SSMC_OK, "%s", ssmc_error());
    cr_assert_eq(rt_tensors_count(file), MANY);
    for (int i = 0; i < MANY; i++) {
        char name[32];
        sprintf(name, "layers.%d.w", i * 7919 % MANY);
        const RtTensor *t = rt_tensors_find(file, name);
        cr_assert_eq(t, rt_tensors_at(file, i));
        cr_assert_eq(*(const char *)t->data, (char)i);
    }
    cr_assert_null(rt_tensors_find(file, "layers.5000.w"));
    cr_assert_null(rt_tensors_find(file, "layers.1.ww"));
    cr_assert_null(rt_tensors_find(file, ""));
    rt_tensors_close(file);
    free(b.bytes);
    free(header);
}

Test(safetensors, reads_scalars_empty_tensors_and_data_in_any_order)
{
    Blob b =
        blob(" {" T("b", "I64", "", "8", "16") " ,\n" T("none", "F32", "0,9223372036854775807", "8",
                                                        "8") "," T("a", "F64", "1", "0", "8") "} ",
             16);
    RtTensorFile *file;
    cr_assert_eq(rt_tensors_from(b.bytes, b.len, "f", &file), SSMC_OK, "%s", ssmc_error());
    const RtTensor *t = rt_tensors_find(file, "b");
    cr_assert_eq(t->rank, 0);
    cr_assert_eq(t->bytes, 8);
    cr_assert_eq(*(const char *)t->data, 8);
    cr_assert_eq(rt_tensors_find(file, "none")->bytes, 0);
    rt_tensors_close(file);
    free(b.bytes);
}

Test(safetensors, tells_what_is_wrong_with_a_path)
{
    char *dir = temp_dir();
    RtTensorFile *file;
    ssmc_weights *weights;
    cr_assert_eq(rt_tensors_open(dir, &file), SSMC_IO);
    cr_assert(strstr(ssmc_error(), "directory"), "%s", ssmc_error());
    cr_assert_eq(rt_tensors_open("/dev/null", &file), SSMC_IO);
    cr_assert(strstr(ssmc_error(), "not a regular file"), "%s", ssmc_error());
    char *path = path_join(dir, "x.safetensors");
    cr_assert_eq(rt_tensors_open(path, &file), SSMC_IO);
    cr_assert(strstr(ssmc_error(), "No such file"), "%s", ssmc_error());
    cr_assert_eq(rt_weights_open(path, &weights), SSMC_IO);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(rt_tensors_open(path, &file), SSMC_IO); /* and does not wait for a writer */
    unlink(path);
    cr_assert(write_whole(path, "", 0));
    cr_assert_eq(rt_tensors_open(path, &file), SSMC_BAD_FILE);
    cr_assert(strstr(ssmc_error(), "0 bytes"), "%s", ssmc_error());
    free(path);
    temp_dir_remove(dir);
}

/* ---- checkpoints --------------------------------------------------------------------------- */

static ssmc_weights *
weights_of(const char *dir)
{
    ssmc_weights *w = NULL;
    cr_assert_eq(rt_weights_open(dir, &w), SSMC_OK, "%s", ssmc_error());
    return w;
}

static void
weights_refused(const char *dir, const char *says)
{
    ssmc_weights *w = NULL;
    cr_assert_eq(rt_weights_open(dir, &w), SSMC_BAD_FILE, "%s", says);
    cr_assert_null(w);
    cr_assert(strstr(ssmc_error(), says), "expected '%s' in '%s'", says, ssmc_error());
}

Test(weights, unaligned_data_is_copied_to_an_aligned_place)
{
    char *dir = temp_dir();
    char header[200] = "{" T("odd", "U8", "1", "0", "1") "," T("a", "F32", "2", "1", "9") "," T(
        "h", "BF16", "3", "9", "15") "}";
    for (int pad = 0; pad < 9; pad++) {
        put_blob(dir, "model.safetensors", header, 15);
        ssmc_weights *w = weights_of(dir);
        const RtTensor *a = rt_weights_find(w, "a"), *h = rt_weights_find(w, "h");
        cr_assert_eq((uintptr_t)a->data % 4, 0);
        cr_assert_eq((uintptr_t)h->data % 2, 0);
        cr_assert_arr_eq(a->data, "\1\2\3\4\5\6\7\10", 8);
        cr_assert_arr_eq(h->data, "\11\12\13\14\15\16", 6);
        cr_assert_eq(rt_weights_count(w), 3);
        cr_assert_str_eq(rt_weights_at(w, 0)->name, "odd");
        rt_weights_close(w);
        strcat(header, " ");
    }
    temp_dir_remove(dir);
}

Test(weights, directory_rules)
{
    char *dir = temp_dir();
    weights_refused(dir, "no *.safetensors");
    put_blob(dir, "some.safetensors", "{" T("only", "U8", "1", "0", "1") "}", 1);
    put_blob(dir, ".hidden.safetensors", "{}", 0);
    ssmc_weights *w = weights_of(dir);
    cr_assert_not_null(rt_weights_find(w, "only"));
    rt_weights_close(w);
    put_blob(dir, "other.safetensors", "{" T("other", "U8", "1", "0", "1") "}", 1);
    weights_refused(dir, "2 *.safetensors");
    put_blob(dir, "consolidated.safetensors", "{" T("whole", "U8", "1", "0", "1") "}", 1);
    w = weights_of(dir);
    cr_assert_not_null(rt_weights_find(w, "whole"));
    rt_weights_close(w);
    put_blob(dir, "model.safetensors", "{" T("model", "U8", "1", "0", "1") "}", 1);
    w = weights_of(dir);
    cr_assert_not_null(rt_weights_find(w, "model"));
    rt_weights_close(w);
    char *index = path_join(dir, "model.safetensors.index.json");
    const char *map = "{\"metadata\":{\"total_size\":2},\"weight_map\":"
                      "{\"other\":\"other.safetensors\",\"only\":\"some.safetensors\"}}";
    write_whole(index, map, strlen(map));
    w = weights_of(dir);
    cr_assert_eq(rt_weights_count(w), 2);
    cr_assert_not_null(rt_weights_find(w, "only"));
    cr_assert_not_null(rt_weights_find(w, "other"));
    cr_assert_null(rt_weights_find(w, "model"));
    rt_weights_close(w);
    free(index);
    temp_dir_remove(dir);
}

Test(weights, refuses_a_wrong_index)
{
    static const struct {
        const char *map, *says;
    } cases[] = {
        {"",                                                                   "too early"       },
        {"{}",                                                                 "names no weights"},
        {"{\"weight_map\":{}}",                                                "names no weights"},
        {"{\"weight_map\":[]}",                                                "names no weights"},
        {"{\"weight_map\":{\"a\":1}}",                                         "is in a number"  },
        {"{\"weight_map\":{\"a\":\"a.safetensors\"}} x",                       "not valid JSON"  },
        {"{\"weight_map\":{\"a\":\"../a.safetensors\"}}",                      "a file beside it"},
        {"{\"weight_map\":{\"a\":\"\"}}",                                      "a file beside it"},
        {"{\"weight_map\":{\"b\":\"a.safetensors\"}}",
         "tensor 'b' is in a.safetensors, but it is not"                                         },
        {"{\"weight_map\":{\"a\":\"a.safetensors\",\"b\":\"b.safetensors\"}}",
         "tensor 'a' is there twice"                                                             },
    };
    char *dir = temp_dir(), *index = path_join(dir, "model.safetensors.index.json");
    put_blob(dir, "a.safetensors", "{" T("a", "U8", "1", "0", "1") "}", 1);
    put_blob(dir, "b.safetensors",
             "{" T("a", "U8", "1", "0", "1") "," T("b", "U8", "1", "1", "2") "}", 2);
    for (size_t i = 0; i < RT_COUNT(cases); i++) {
        write_whole(index, cases[i].map, strlen(cases[i].map));
        weights_refused(dir, cases[i].says);
    }
    const char *gone = "{\"weight_map\":{\"a\":\"gone.safetensors\"}}";
    write_whole(index, gone, strlen(gone));
    ssmc_weights *w;
    cr_assert_eq(rt_weights_open(dir, &w), SSMC_IO);
    cr_assert(strstr(ssmc_error(), "gone.safetensors"), "%s", ssmc_error());
    free(index);
    temp_dir_remove(dir);
}

/* ---- writing ------------------------------------------------------------------------------- */

Test(safetensors, written_files_read_back)
{
    char *dir = temp_dir(), *path = path_join(dir, "out.safetensors");
    const float a[6] = {1, 2, 3, 4, 5, 6};
    const int64_t ids[2] = {-1, 7};
    const RtTensor out[] = {
        {.name = "a \"quoted\\\" \n\xc3\xa9",
         .dtype = "F32",
         .rank = 2,
         .dim = {2, 3},
         .data = a,
         .bytes = 24                                                                                         },
        {.name = "ids",                       .dtype = "I64", .rank = 1, .dim = {2}, .data = ids, .bytes = 16},
        {.name = "none",                      .dtype = "F32", .rank = 1, .dim = {0}, .data = a,   .bytes = 0 },
    };
    for (int again = 0; again < 2; again++) { /* the second time over the first */
        RtTensorFile *file;
        cr_assert_eq(rt_tensors_write(path, out, 3), SSMC_OK, "%s", ssmc_error());
        cr_assert_eq(rt_tensors_open(path, &file), SSMC_OK, "%s", ssmc_error());
        cr_assert_eq(rt_tensors_count(file), 3);
        for (int i = 0; i < 3; i++) {
            const RtTensor *t = rt_tensors_find(file, out[i].name);
            cr_assert_not_null(t);
            cr_assert_str_eq(t->dtype, out[i].dtype);
            cr_assert_eq(t->rank, out[i].rank);
            cr_assert_eq(t->bytes, out[i].bytes);
            cr_assert_eq(memcmp(t->data, out[i].data, t->bytes), 0);
            cr_assert_eq((uintptr_t)t->data % 8, 0);
        }
        rt_tensors_close(file);
    }
    cr_assert_eq(rt_tensors_write(path, NULL, 0), SSMC_OK, "%s", ssmc_error());
    free(path);
    temp_dir_remove(dir);
}

Test(safetensors, refuses_to_write_what_cannot_be_read)
{
    char *dir = temp_dir(), *path = path_join(dir, "out.safetensors");
    const float a[4] = {0};
    const RtTensor good = {
        .name = "a", .dtype = "F32", .rank = 1, .dim = {4}, .data = a, .bytes = 16};
    RtTensor bad[6] = {good, good, good, good, good, good};
    bad[0].dtype = "F33";
    bad[1].bytes = 12;
    bad[2].rank = 9;
    bad[3].name = "__metadata__";
    bad[4].name = "\xff";
    bad[5].dim[0] = -4;
    for (int i = 0; i < 6; i++)
        cr_expect_eq(rt_tensors_write(path, &bad[i], 1), SSMC_BAD_ARGUMENT, "%d", i);
    const RtTensor twice[2] = {good, good};
    cr_assert_eq(rt_tensors_write(path, twice, 2), SSMC_BAD_ARGUMENT);
    cr_assert_neq(access(path, F_OK), 0);
    free(path);
    path = path_join(dir, "gone/out.safetensors");
    cr_assert_eq(rt_tensors_write(path, &good, 1), SSMC_IO);
    cr_assert_eq(rt_tensors_write(dir, &good, 1), SSMC_IO);
    free(path);
    temp_dir_remove(dir);
}

/* Element types of graphs, of programs and of files are one list: names and sizes agree. */
Test(safetensors, types)
{
    int read = 0;
    for (int i = 0; i < DTYPE_COUNT; i++) {
        AbiDtype abi;
        const DtypeInfo *info = &dtype_info[i];
        if (info->safetensors[0])
            cr_expect_eq(rt_dtype_bits(info->safetensors), 8 * info->bytes, "%s", info->name);
        if (!cg_abi_dtype((Dtype)i, &abi))
            continue;
        read++;
        cr_expect(info->is_float || i == DTYPE_i32, "%s", info->name);
        cr_expect_str_eq(rt_abi_name(abi), info->safetensors);
        cr_expect_eq(rt_abi_bits(abi), 8 * info->bytes, "%s", info->name);
    }
    cr_expect_eq(read, ABI_DTYPE_COUNT);
    cr_expect_eq(rt_abi_bits((AbiDtype)99), 0);
}
