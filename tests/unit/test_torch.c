/* tests/unit/test_torch.c -- files of torch.save: those that PyTorch wrote (tests/data/torch, by
 * its make.py) are read as they are; hostile ones are refused with a message that says what and
 * where, and nothing of them is run. */
#include <criterion/criterion.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/internal.h"
#include "tests/harness.h"
#include "tests/torch_file.h"

#define DATA      SSMC_ROOT "/tests/data/torch"
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define BYTES(s)  s, sizeof(s) - 1

static RtTensorFile *
open_file(const char *name)
{
    RtTensorFile *file = NULL;
    char *path = path_join(DATA, name);
    cr_assert_eq(rt_tensors_open(path, &file), SSMC_OK, "%s", ssmc_error());
    free(path);
    return file;
}

static const RtTensor *
find(const RtTensorFile *file, const char *name, const char *dtype, const char *dims)
{
    const RtTensor *t = rt_tensors_find(file, name);
    cr_assert(t, "no tensor %s", name);
    cr_expect_str_eq(t->dtype, dtype);
    cr_expect_str_eq(rt_dims(t->dim, t->rank).text, dims);
    return t;
}

/* Every piece of `says`, separated by '|', is in the message. */
static void
expect_says(const char *says)
{
    char *pieces = strdup(says);
    for (char *piece = strtok(pieces, "|"); piece; piece = strtok(NULL, "|"))
        cr_expect(strstr(ssmc_error(), piece), "expected '%s' in '%s'", piece, ssmc_error());
    free(pieces);
}

static void
refused(const void *bytes, size_t len, const char *says)
{
    /* A copy of the exact size, so that the address sanitizer sees a read past the end. */
    char *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    RtTensorFile *file = (RtTensorFile *)copy;
    cr_expect_eq(rt_tensors_from(copy, len, "evil.bin", &file), SSMC_BAD_FILE, "%s", says);
    cr_expect_null(file);
    free(copy);
    expect_says(says);
    cr_expect(strstr(ssmc_error(), "evil.bin"), "no file in '%s'", ssmc_error());
}

static void
pickle_refused(const void *pickle, size_t len, const char *says)
{
    TorchFile f = torch_file_around(pickle, len);
    refused(f.bytes, f.len, says);
    free(f.bytes);
}

/* ---- files that PyTorch wrote -------------------------------------------------------------- */

Test(torch, every_type_that_there_is_a_name_for)
{
    static const struct {
        const char *name, *dtype;
        size_t bytes;
    } types[] = {
        {"float64",   "F64",  48},
        {"float32",   "F32",  24},
        {"float16",   "F16",  12},
        {"bfloat16",  "BF16", 12},
        {"complex64", "C64",  48},
        {"int64",     "I64",  48},
        {"int32",     "I32",  24},
        {"int16",     "I16",  12},
        {"int8",      "I8",   6 },
        {"uint8",     "U8",   6 },
        {"bool",      "BOOL", 6 },
    };
    RtTensorFile *file = open_file("types.bin");
    cr_expect_eq(rt_tensors_count(file), (int)RT_COUNT(types));
    for (size_t i = 0; i < RT_COUNT(types); i++) {
        const RtTensor *t = find(file, types[i].name, types[i].dtype, "[2,3]");
        cr_expect_eq(t->bytes, types[i].bytes);
        cr_expect_str_eq(rt_tensors_at(file, (int)i)->name, types[i].name);
    }
    const int64_t *wide = find(file, "int64", "I64", "[2,3]")->data;
    const int8_t *narrow = find(file, "int8", "I8", "[2,3]")->data;
    for (int i = 0; i < 6; i++)
        cr_expect(wide[i] == i && narrow[i] == i);
    rt_tensors_close(file);
}

Test(torch, numbers_lie_in_the_mapping_at_multiples_of_64)
{
    static const struct {
        const char *file, *dtype;
        size_t size;
        const char *five; /* the bytes of 5 */
    } files[] = {
        {"float32.bin",  "F32",  4, "\0\0\240@"},
        {"float16.bin",  "F16",  2, "\0E"      },
        {"bfloat16.bin", "BF16", 2, "\240@"    },
    };
    for (size_t i = 0; i < RT_COUNT(files); i++) {
        RtTensorFile *file = open_file(files[i].file);
        const RtTensor *a = find(file, "a", files[i].dtype, "[2,3]");
        cr_expect_eq((uintptr_t)a->data % 64, 0);
        cr_expect_eq(
            memcmp((const char *)a->data + 5 * files[i].size, files[i].five, files[i].size), 0);
        cr_expect_eq(find(file, "one", files[i].dtype, "[]")->bytes, files[i].size);
        cr_expect_eq(find(file, "none", "F32", "[0,3]")->bytes, 0);
        rt_tensors_close(file);
    }
}

Test(torch, tensors_that_share_a_storage)
{
    RtTensorFile *file = open_file("shared.bin");
    const RtTensor *first = find(file, "first", "F32", "[3,2]");
    cr_expect_eq(find(file, "second", "F32", "[3,2]")->data, first->data);
    cr_expect_eq(find(file, "row", "F32", "[2]")->data, (const float *)first->data + 2);
    const RtTensor *rows = find(file, "rows", "F32", "[2,2]");
    cr_expect_eq(rows->data, (const float *)first->data + 2);
    cr_expect_eq(((const float *)rows->data)[3], 5);
    rt_tensors_close(file);
}

Test(torch, modules_parameters_and_later_protocols)
{
    static const char *const files[] = {"module.bin", "parameters.bin", "protocol4.bin"};
    for (size_t i = 0; i < RT_COUNT(files); i++) {
        RtTensorFile *file = open_file(files[i]);
        cr_expect_eq(rt_tensors_count(file), 4);
        const float *weight = find(file, "0.weight", "F32", "[3,2]")->data;
        const float *bias = find(file, "0.bias", "F32", "[3]")->data;
        cr_expect(weight[5] == 5 && bias[2] == 2, "%s", files[i]);
        find(file, "1.weight", "F32", "[3]");
        rt_tensors_close(file);
    }
}

Test(torch, files_that_are_not_taken)
{
    static const struct {
        const char *file, *says;
    } files[] = {
        {"strided.bin",
         "data.pkl: byte 166|'turned' has the shape [2,3] with the strides [1,2]|.contiguous()"     },
        {"legacy.bin",
         "version 1.5 and older|save it again: python3 -c 'import torch; torch.save("               },
        {"nested.bin",   "'epoch' is an int; expected a tensor|torch.save(model.state_dict(), FILE)"},
        {"deflated.bin", "its entry 'float32/data.pkl' is compressed|uncompressed"                  },
    };
    for (size_t i = 0; i < RT_COUNT(files); i++) {
        RtTensorFile *file;
        char *path = path_join(DATA, files[i].file);
        cr_expect_eq(rt_tensors_open(path, &file), SSMC_BAD_FILE);
        expect_says(files[i].says);
        cr_expect(strstr(ssmc_error(), path), "no file in '%s'", ssmc_error());
        free(path);
    }
}

/* ---- the archive --------------------------------------------------------------------------- */

Test(torch, archives_with_numbers_of_64_bits)
{
    static const char pickle[] = "\x80\2}.";
    const TorchRecord records[] = {
        {"x/data.pkl", BYTES(pickle), true},
        {"x/y", "1", 1, true}
    };
    TorchFile f = torch_file_of(records, 2);
    RtTensorFile *file;
    cr_assert_eq(rt_tensors_from(f.bytes, f.len, "f", &file), SSMC_OK, "%s", ssmc_error());
    cr_expect_eq(rt_tensors_count(file), 0);
    rt_tensors_close(file);
    free(f.bytes);
}

/* The place of the n-th mark "PK" and two more bytes, counted from 0. */
static char *
signature(char *bytes, size_t len, const char *mark, int n)
{
    for (size_t at = 0; at + 4 <= len; at++)
        if (memcmp(bytes + at, mark, 4) == 0 && n-- == 0)
            return bytes + at;
    cr_assert_fail("no signature");
    return NULL;
}

#define ENTRY   "PK\1\2" /* of the directory; 0 is data.pkl, 4 is data/0, of 24 bytes */
#define LOCAL   "PK\3\4"
#define END     "PK\5\6"
#define END64   "PK\6\6"
#define LOCATOR "PK\6\7"

static const struct {
    const char *mark;
    int n;
    size_t at;
    int bytes;
    uint64_t value;
    const char *says;
} damages[] = {
    {ENTRY,   0, 0,  1, 'Q',                          "byte |expected an entry of a zip directory"                     },
    {ENTRY,   0, 8,  2, 1,                            "'float32/data.pkl' is encrypted"                                },
    {ENTRY,   0, 8,  2, 0x2008,                       "'float32/data.pkl' is encrypted"                                },
    {ENTRY,   4, 10, 2, 8,                            "'float32/data/0' is compressed"                                 },
    {ENTRY,   4, 20, 4, 23,                           "'float32/data/0' has two different sizes"                       },
    {ENTRY,   4, 34, 2, 1,                            "'float32/data/0' has two different sizes, or is in another file"},
    {ENTRY,   4, 20, 8, UINT64_MAX,                   "'float32/data/0' lacks its zip64 sizes"                         },
    {ENTRY,   4, 20, 8, UINT64_C(0x7fffffff7fffffff), "'float32/data/0' reaches behind the data"                       },
    {ENTRY,   4, 20, 8, UINT64_C(0x0000008000000080), "overlaps the one before it"                                     },
    {ENTRY,   4, 28, 2, 0xffff,                       "an entry of 65581 bytes, of which the zip directory has"        },
    {ENTRY,   4, 46, 1, 0,                            "has a NUL in its name"                                          },
    {ENTRY,   4, 46, 1, 'g',                          "'gloat32/data/0' has another name where it lies"                },
    {ENTRY,   4, 42, 4, 1,                            "'float32/data/0' is not where the directory of the archive says"},
    {ENTRY,   4, 42, 4, 0xfffffffe,                   "'float32/data/0' is not where the directory"                    },
    {ENTRY,   5, 30, 2, 4,                            "expected an entry of a zip directory"                           },
    {LOCAL,   4, 26, 2, 3,                            "'float32/data/0' has another name"                              },
    {LOCAL,   4, 28, 2, 0xffff,                       "'float32/data/0' has another name"                              },
    {LOCAL,   4, 8,  2, 8,                            "'float32/data/0' is compressed or encrypted, unlike"            },
    {LOCAL,   4, 6,  2, 1,                            "'float32/data/0' is compressed or encrypted, unlike"            },
    {LOCAL,   4, 22, 4, 23,                           "'float32/data/0' has another size where it lies"                },
    {END,     0, 4,  2, 1,                            "of an archive in several files"                                 },
    {END,     0, 8,  2, 1,                            "of an archive in several files"                                 },
    {END,     0, 12, 4, 7,                            "two different numbers for its directory"                        },
    {END,     0, 16, 4, 7,                            "two different numbers for its directory"                        },
    {END64,   0, 0,  1, 'Q',                          "its zip64 record is where none is"                              },
    {END64,   0, 4,  8, 45,                           "its zip64 record is where none is"                              },
    {END64,   0, 16, 4, 1,                            "of an archive in several files"                                 },
    {END64,   0, 32, 8, 8,                            "of an archive in several files"                                 },
    {LOCATOR, 0, 8,  8, 3,                            "its zip64 record is where none is"                              },
    {LOCATOR, 0, 8,  8, UINT64_MAX - 3,               "its zip64 record is where none is"                              },
    {LOCATOR, 0, 16, 4, 2,                            "of an archive in several files"                                 },
    {LOCATOR, 0, 0,  1, 'Q',                          "its zip directory should be|downloaded whole"                   },
};

Test(torch, damaged_archives)
{
    size_t len = 0;
    char *good = read_whole(DATA "/float32.bin", &len);
    cr_assert(good);
    for (size_t i = 0; i < RT_COUNT(damages); i++) {
        char *bytes = malloc(len);
        memcpy(bytes, good, len);
        char *at = signature(bytes, len, damages[i].mark, damages[i].n) + damages[i].at;
        for (int k = 0; k < damages[i].bytes; k++)
            at[k] = (char)(damages[i].value >> 8 * k);
        refused(bytes, len, damages[i].says);
        free(bytes);
    }
    free(good);
}

Test(torch, files_that_are_cut_short)
{
    size_t len = 0;
    char *good = read_whole(DATA "/shared.bin", &len);
    cr_assert(good);
    for (size_t n = 64; n < len; n++)
        refused(good, n, "is cut short|downloaded whole");
    free(good);
}

Test(torch, records_that_are_missing_or_there_twice)
{
    static const char pickle[] = "\x80\2}.";
    static const struct {
        TorchRecord records[2];
        const char *says;
    } cases[] = {
        {{{"x/data.pkl", BYTES(pickle), false}, {"x/data.pkl", "", 0, false}},
         "'x/data.pkl' is there twice"                                                               },
        {{{"x/data.pkl", BYTES(pickle), false}, {"y/data.pkl", "", 0, false}},
         "two records data.pkl"                                                                      },
        {{{"x/y.pkl", BYTES(pickle), false}, {"x/y/data.pkl", "", 0, false}},      "without data.pkl"},
        {{{"x/data.pkl", BYTES(pickle), false}, {"x/byteorder", "big", 3, false}},
         "byteorder does not say 'little'"                                                           },
    };
    for (size_t i = 0; i < RT_COUNT(cases); i++) {
        TorchFile f = torch_file_of(cases[i].records, 2);
        refused(f.bytes, f.len, cases[i].says);
        free(f.bytes);
    }
}

/* ---- the pickle ---------------------------------------------------------------------------- */

#define TEXT(len, text)                        "X" len "\0\0\0" text
#define KEY(key)                               TEXT("\1", key)
#define TYPE                                   "ctorch\nFloatStorage\n"
#define PLACE(type, key, n)                    "(" TEXT("\7", "storage") type KEY(key) TEXT("\3", "cpu") n "t"
#define STORAGE                                PLACE(TYPE, "0", "K\6") "Q"
#define HOOKS                                  "ccollections\nOrderedDict\n)R"
#define REBUILD                                "ctorch._utils\n_rebuild_tensor_v2\n"
#define TENSOR_OF(arguments)                   REBUILD "(" arguments "tR"
#define TENSOR(storage, offset, shape, stride) TENSOR_OF(storage offset shape stride "\x89" HOOKS)
#define GOOD                                   TENSOR(STORAGE, "K\0", "K\2K\3\x86", "K\3K\1\x86")
#define PARAMETER(arg)                         "ctorch._utils\n_rebuild_parameter\n(" arg "\x88)tR"
#define DICT(value)                            "\x80\2}" KEY("a") value "s."
#define HUGE_INT                               "\x8a\x8\xff\xff\xff\xff\xff\xff\xff\x7f" /* 2^63-1 */

Test(torch, pickles_made_here_are_read)
{
    static const struct {
        const char *pickle;
        size_t len;
    } good[] = {
        {BYTES(DICT(GOOD))},
        {BYTES(DICT(PARAMETER(GOOD)))},
        {BYTES("\x80\2}" KEY("a") GOOD "s" HOOKS "b.")}, /* attributes of the dict */
        {BYTES("\x80\2}(" KEY("a") GOOD "u.")},
        {BYTES(DICT(TENSOR(STORAGE, "K\0", "K\2K\1K\3\x87", "K\3K\x63K\1\x87")))},
        {BYTES(DICT(TENSOR(STORAGE, "K\0", "K\0K\3\x86", "K\7K\7\x86")))},
        {BYTES(DICT(TENSOR_OF(STORAGE "K\0K\2\x85K\1\x85\x89" HOOKS "}")))},
        {BYTES(DICT(TENSOR_OF(STORAGE "K\0K\2\x85K\1\x85\x89NN")))},
    };
    for (size_t i = 0; i < RT_COUNT(good); i++) {
        TorchFile f = torch_file_around(good[i].pickle, good[i].len);
        RtTensorFile *file = NULL;
        cr_expect_eq(rt_tensors_from(f.bytes, f.len, "f", &file), SSMC_OK, "%zu: %s", i,
                     ssmc_error());
        if (file)
            cr_expect_eq(rt_tensors_count(file), 1);
        rt_tensors_close(file);
        free(f.bytes);
    }
}

static const struct {
    const char *pickle;
    size_t len;
    const char *says;
} hostile[] = {
    /* what would run */
    {BYTES("\x80\2cos\nsystem\n" TEXT("\2", "id") "\x85R."),
     "data.pkl: byte 2: opcode GLOBAL names os.system|nothing of the file was executed"},
    {BYTES("\x80\4\x8c\5posix\x8c\6system\x93."),
     "byte 17: opcode STACK_GLOBAL names posix.system|executed"},
    {BYTES("\x80\2cbuiltins\neval\n."), "names builtins.eval"},
    {BYTES("\x80\2ctorch\nload\n."), "names torch.load"},
    {BYTES("\x80\2ctorch\nFloatStorag\n."), "names torch.FloatStorag"},
    {BYTES("\x80\2c\x1b[31m\nx\n."), "names ?[31m.x"},
    {BYTES("\x80\2(ios\nsystem\n."), "byte 3: opcode 0x69 (INST)|none of those that tensors"},
    {BYTES("\x80\2}}\x81."), "byte 4: opcode 0x81 (NEWOBJ)"},
    {BYTES("\x80\2\x82\1."), "opcode 0x82 (EXT1)"},
    {BYTES("\x80\2\xff."), "opcode 0xff (of no pickle)"},
    {BYTES("\x80\2" TYPE "}R."), "opcode REDUCE calls FloatStorage with a dict"},
    {BYTES("\x80\2" TYPE ")R."), "opcode REDUCE calls torch.FloatStorage with 0 arguments"},
    {BYTES("\x80\2ccollections\nOrderedDict\n]\x85R."), "collections.OrderedDict with 1 arguments"},
    {BYTES("\x80\2" KEY("a") ")R."), "calls a text with a tuple"},
    {BYTES("\x80\2)}b."), "opcode BUILD gives attributes to a tuple"},
    {BYTES("\x80\2NN\x93."), "opcode STACK_GLOBAL names None and None"},
    {BYTES("\x80\2K\1Q."), "opcode BINPERSID has an int; expected a tuple"},
    /* lengths and numbers */
    {BYTES(""), "data.pkl ends at byte 0 without the opcode STOP"},
    {BYTES("\x80"), "byte 0: opcode PROTO takes 1 bytes, but the pickle has 0 more"},
    {BYTES("\x80\1."), "says protocol 1"},
    {BYTES("\x80\6."), "says protocol 6"},
    {BYTES("\x80\2}"), "ends at byte 3 without the opcode STOP"},
    {BYTES("\x80\2}.}"), "opcode STOP is not the last: 1 bytes follow"},
    {BYTES("\x80\2."), "opcode STOP leaves 0 values"},
    {BYTES("\x80\2}}."), "opcode STOP leaves 2 values"},
    {BYTES("\x80\2(}."), "opcode STOP leaves 1 values and 1 marks"},
    {BYTES("\x80\2X\xff\xff\xff\xff."), "BINUNICODE takes 4294967295 bytes, but the pickle has 1"},
    {BYTES("\x80\2X\1\0"), "BINUNICODE takes 4 bytes, but the pickle has 2"},
    {BYTES("\x80\2\x8c\5a."), "SHORT_BINUNICODE takes 5 bytes"},
    {BYTES("\x80\4\x95\xff\xff\xff\xff\xff\xff\xff\xff."),
     "FRAME takes 18446744073709551615 bytes"},
    {BYTES("\x80\2\x8a\xff."), "LONG1 has a number of 255 bytes"},
    {BYTES("\x80\2\x8a\4\0."), "LONG1 takes 4 bytes"},
    {BYTES("\x80\2G\0."), "BINFLOAT takes 8 bytes"},
    {BYTES("\x80\2ctorch"), "GLOBAL has a line that does not end"},
    {BYTES("\x80\2ctorch\nFloatStorage"), "GLOBAL has a line that does not end"},
    /* memo and stack */
    {BYTES("\x80\2h\0."), "byte 2: opcode BINGET asks for value 0, which was not kept"},
    {BYTES("\x80\2}q\2h\1."), "asks for value 1, which was not kept"},
    {BYTES("\x80\2}j\xff\xff\xff\xff."), "LONG_BINGET asks for value 4294967295"},
    {BYTES("\x80\2}r\xff\xff\xff\xff."), "LONG_BINPUT has the number 4294967295; it is below 9"},
    {BYTES("\x80\2q\0."), "BINPUT takes 1 values from the stack, which has 0"},
    {BYTES("\x80\2}q\0" KEY("a") "h\0s."), "'a' is a dict; expected a tensor"},
    {BYTES("\x80\2]q\0h\0a."), "it holds a list; expected a dict of tensors"},
    {BYTES("\x80\2)(N\x86."), "TUPLE2 takes 2 values from the stack, which has 1"},
    {BYTES("\x80\2t."), "TUPLE takes the values above a mark"},
    {BYTES("\x80\2}NNu."), "SETITEMS takes the values above a mark"},
    {BYTES("\x80\2}(NNNu."), "SETITEMS adds a key without a value"},
    {BYTES("\x80\2)NNs."), "SETITEM adds to a tuple"},
    {BYTES("\x80\2}Na."), "APPEND adds to a dict"},
    {BYTES("\x80\2(Ne."), "APPENDS takes 2 values from the stack, which has 1"},
    {BYTES("\x80\2NR."), "REDUCE takes 2 values"},
    {BYTES("\x80\2}b."), "BUILD takes 2 values"},
    {BYTES("\x80\2Q."), "BINPERSID takes 1 values"},
    {BYTES("\x80\4N\x93."), "STACK_GLOBAL takes 2 values"},
    /* the dict */
    {BYTES("\x80\2K\1."), "byte 2: it holds an int; expected a dict of tensors"},
    {BYTES("\x80\2" GOOD "."), "it holds a tensor; expected a dict of tensors"},
    {BYTES("\x80\2}K\1NS."), "opcode 0x53 (STRING)"},
    {BYTES("\x80\2}K\1Ns."), "byte 3: a key is an int; expected the name of a tensor"},
    {BYTES("\x80\2}" TEXT("\2", "a\0") "Ns."), "a key is a text with a NUL"},
    {BYTES(DICT("G\0\0\0\0\0\0\0\0")), "'a' is a float; expected a tensor"},
    {BYTES(DICT(TYPE)), "'a' is FloatStorage; expected a tensor"},
    {BYTES(DICT(STORAGE)), "'a' is a storage; expected a tensor"},
    {BYTES(DICT(PARAMETER(PARAMETER(GOOD)))), "'a' is a parameter; expected a tensor"},
    {BYTES(DICT("ctorch._utils\n_rebuild_parameter\n)R")), "its parameter holds nothing"},
    {BYTES("\x80\2}" KEY("a") GOOD "s" KEY("a") GOOD "s."), "tensor 'a' is there twice"},
    /* what a tensor is made of */
    {BYTES(DICT(TENSOR_OF(""))), "'a' is made in a way that is not known: its arguments are not 6"},
    {BYTES(DICT(TENSOR_OF("NNNNNNNN"))), "its arguments are not 6 or 7"},
    {BYTES(DICT(TENSOR("N", "K\0", "K\6\x85", "K\1\x85"))), "its storage is not one"},
    {BYTES(DICT(TENSOR(STORAGE, "N", "K\6\x85", "K\1\x85"))), "its offset is no number"},
    {BYTES(DICT(TENSOR(STORAGE, "J\xff\xff\xff\xff", "K\6\x85", "K\1\x85"))),
     "its offset is no number from 0 on"},
    {BYTES(DICT(TENSOR(STORAGE, "K\0", "K\6", "K\1\x85"))), "its shape and strides are no tuples"},
    {BYTES(DICT(TENSOR(STORAGE, "K\0", "K\2K\3\x86", "K\1\x85"))), "no tuples of one length"},
    {BYTES(DICT(TENSOR(STORAGE, "K\0", "N\x85", "K\1\x85"))), "are not numbers from 0 on"},
    {BYTES(DICT(TENSOR(STORAGE, "K\0", "J\xff\xff\xff\xff\x85", "K\1\x85"))), "are not numbers"},
    {BYTES(DICT(
         TENSOR(STORAGE, "K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t"))),
     "'a' has 9 dimensions; at most 8"},
    {BYTES(DICT(TENSOR_OF(STORAGE "K\0K\6\x85K\1\x85\x89]"))), "hooks or metadata are not empty"},
    {BYTES(DICT(TENSOR_OF(STORAGE "K\0K\6\x85K\1\x85\x89}}" KEY("n") "\x88s"))),
     "hooks or metadata are not empty"},
    {BYTES(DICT(TENSOR(")Q", "K\0", "K\6\x85", "K\1\x85"))), "its storage is not ('storage'"},
    {BYTES(DICT(TENSOR(PLACE(HOOKS, "0", "K\6") "Q", "K\0", "K\6\x85", "K\1\x85"))),
     "its storage is not ('storage'"},
    {BYTES(DICT(TENSOR(PLACE(REBUILD, "0", "K\6") "Q", "K\0", "K\6\x85", "K\1\x85"))),
     "its storage is not ('storage'"},
    {BYTES(DICT(TENSOR(PLACE(TYPE, "2", "K\6") "Q", "K\0", "K\6\x85", "K\1\x85"))),
     "'a' is in the record data/2, which the file does not have"},
    {BYTES(DICT(TENSOR(PLACE(TYPE, "0", "K\7") "Q", "K\0", "K\6\x85", "K\1\x85"))),
     "'a' is in a storage of 7 numbers of F32, but the record data/0 has 24 bytes"},
    {BYTES(DICT(TENSOR(PLACE(TYPE, "0", HUGE_INT) "Q", "K\0", "K\6\x85", "K\1\x85"))),
     "a storage of 9223372036854775807 numbers of F32"},
    /* where a tensor lies */
    {BYTES(DICT(TENSOR(STORAGE, "K\0", "K\7\x85", "K\1\x85"))),
     "'a' takes 28 bytes from element 0 on of a storage that has 24"},
    {BYTES(DICT(TENSOR(STORAGE, "K\1", "K\6\x85", "K\1\x85"))), "24 bytes from element 1 on"},
    {BYTES(DICT(TENSOR(STORAGE, HUGE_INT, "K\6\x85", "K\1\x85"))),
     "from element 9223372036854775807 on"},
    {BYTES(DICT(TENSOR(STORAGE, HUGE_INT, ")", ")"))), "from element 9223372036854775807 on"},
    {BYTES(DICT(TENSOR(STORAGE, "K\0", HUGE_INT HUGE_INT "\x86", "K\1K\1\x86"))),
     "[9223372036854775807,9223372036854775807], which is no size a file can have"},
    {BYTES(DICT(TENSOR(STORAGE, "K\0", HUGE_INT "\x85", "K\1\x85"))), "no size a file can have"},
    {BYTES(DICT(TENSOR(STORAGE, "K\0", "K\3K\2\x86", "K\1K\3\x86"))),
     "'a' has the shape [3,2] with the strides [1,3]|.contiguous()"},
    {BYTES(DICT(TENSOR(STORAGE, "K\0", "K\6\x85", "K\0\x85"))),
     "the shape [6] with the strides [0]"},
};

Test(torch, hostile_pickles)
{
    for (size_t i = 0; i < RT_COUNT(hostile); i++)
        pickle_refused(hostile[i].pickle, hostile[i].len, hostile[i].says);
}

/* Each opcode that is not run, and each byte that is none: refused where it stands, by its name. */
Test(torch, every_opcode_that_is_not_allowed)
{
    static const bool is_run[256] = {
#define PICKLE_OP(code, name, operand) [code] = true,
#include "runtime/pickle_ops.def"
#undef PICKLE_OP
    };
    static const char *const names[256] = {
#define PICKLE_OP(code, name, operand)
#define PICKLE_REFUSED(code, name) [code] = #name,
#include "runtime/pickle_ops.def"
#undef PICKLE_OP
    };
    int refusals = 0;
    for (int code = 0; code < 256; code++) {
        const char pickle[] = {'\x80', 2, '}', '}', (char)code, 'a', '\n', '.'};
        char says[96];
        if (is_run[code])
            continue;
        snprintf(says, sizeof says, "byte 4: opcode 0x%02x (%s) is none|nothing of the file was",
                 code, names[code] ? names[code] : "of no pickle");
        pickle_refused(pickle, sizeof pickle, says);
        refusals++;
    }
    cr_expect_gt(refusals, 200);
}

/* "\x80\2", many times one opcode, "." */
static void
many_refused(const char *opcode, size_t len, size_t count, const char *says)
{
    char *pickle = malloc(count * len + 3);
    memcpy(pickle, "\x80\2", 2);
    for (size_t i = 0; i < count; i++)
        memcpy(pickle + 2 + i * len, opcode, len);
    pickle[2 + count * len] = '.';
    pickle_refused(pickle, count * len + 3, says);
    free(pickle);
}

Test(torch, pickles_without_end)
{
    many_refused("(", 1, 70000, "byte 65538: opcode MARK makes more than 65536 marks");
    many_refused("N", 1, 70000, "makes more than 65536 values on the stack");
    many_refused(BYTES("]N\x85"), 70000, "values on the stack");
    many_refused("N", 1, (1 << 24) + 1, "data.pkl has 16777220 bytes; at most 16777216");
    const size_t len = 5000;
    char *text = malloc(len + 8);
    memcpy(text, "\x80\2X\x88\x13\0\0", 7);
    memset(text + 7, 'a', len);
    text[7 + len] = '.';
    pickle_refused(text, len + 8, "BINUNICODE has a text of 5000 bytes; at most 4096");
    free(text);
}

/* 20000 names of one tensor. */
Test(torch, finds_tensors_among_thousands)
{
    enum { MANY = 20000, ROOM = 32 };
    static const char tensor[] = GOOD "q\0";
    char *pickle = malloc(MANY * ROOM + sizeof tensor), *at = pickle;
    memcpy(at, "\x80\2}(", 4);
    at += 4;
    for (int i = 0; i < MANY; i++) {
        memcpy(at, "X\6\0\0\0", 5);
        sprintf(at + 5, "t%05d", i * 7919 % MANY);
        at += 11;
        const size_t len = i ? 2 : sizeof tensor - 1;
        memcpy(at, i ? "h\0" : tensor, len);
        at += len;
    }
    memcpy(at, "u.", 2);
    TorchFile f = torch_file_around(pickle, (size_t)(at + 2 - pickle));
    RtTensorFile *file;
    cr_assert_eq(rt_tensors_from(f.bytes, f.len, "many", &file), SSMC_OK, "%s", ssmc_error());
    cr_assert_eq(rt_tensors_count(file), MANY);
    for (int i = 0; i < MANY; i++) {
        char name[ROOM];
        sprintf(name, "t%05d", i * 7919 % MANY);
        cr_assert_eq(rt_tensors_find(file, name), rt_tensors_at(file, i));
    }
    rt_tensors_close(file);
    free(f.bytes);
    free(pickle);
}

/* ---- directories --------------------------------------------------------------------------- */

static void
copy_into(const char *dir, const char *from, const char *to)
{
    size_t len = 0;
    char *source = path_join(DATA, from), *path = path_join(dir, to);
    char *bytes = read_whole(source, &len);
    cr_assert(bytes && write_whole(path, bytes, len), "%s", path);
    free(source);
    free(path);
    free(bytes);
}

static void
write_text(const char *dir, const char *name, const char *text)
{
    char *path = path_join(dir, name);
    cr_assert(write_whole(path, text, strlen(text)));
    free(path);
}

static ssmc_weights *
weights_of(const char *dir)
{
    ssmc_weights *w = NULL;
    cr_assert_eq(rt_weights_open(dir, &w), SSMC_OK, "%s", ssmc_error());
    return w;
}

static void
weights_refused(const char *dir, ssmc_status status, const char *says)
{
    ssmc_weights *w = NULL;
    cr_expect_eq(rt_weights_open(dir, &w), status, "%s", says);
    cr_expect_null(w);
    expect_says(says);
}

static void
write_safetensors(const char *dir, const char *name, const char *tensor)
{
    static const float one = 1;
    char *path = path_join(dir, name);
    const RtTensor t = {
        .name = tensor, .dtype = "F32", .rank = 1, .dim = {1}, .data = &one, .bytes = sizeof one};
    cr_assert_eq(rt_tensors_write(path, &t, 1), SSMC_OK);
    free(path);
}

Test(torch, directories_of_one_file)
{
    char *dir = temp_dir();
    copy_into(dir, "float16.bin", "pytorch_model.bin");
    copy_into(dir, "shared.bin", "training_args.bin");
    ssmc_weights *w = weights_of(dir);
    cr_expect_eq(rt_weights_count(w), 3);
    cr_expect_null(rt_weights_note(w));
    cr_expect(rt_weights_find(w, "a"));
    cr_expect(strstr(rt_weights_file(w, 0), "/pytorch_model.bin"));
    rt_weights_close(w);
    write_safetensors(dir, "one.safetensors", "only");
    w = weights_of(dir);
    cr_expect(rt_weights_find(w, "only") && rt_weights_count(w) == 1);
    rt_weights_close(w);
    write_safetensors(dir, "two.safetensors", "other"); /* which of the two is not told */
    w = weights_of(dir);
    cr_expect_eq(rt_weights_count(w), 3);
    rt_weights_close(w);
    write_safetensors(dir, "model.safetensors", "model");
    w = weights_of(dir);
    cr_expect(rt_weights_find(w, "model") && rt_weights_count(w) == 1);
    rt_weights_close(w);
    temp_dir_remove(dir);
}

Test(torch, directories_of_several_files)
{
    static const char first[] = "pytorch_model-00001-of-00002.bin",
                      second[] = "pytorch_model-00002-of-00002.bin",
                      index[] = "pytorch_model.bin.index.json";
    ssmc_weights *w = weights_of(DATA "/sharded");
    cr_expect_eq(rt_weights_count(w), 3);
    const RtTensor *b = rt_weights_find(w, "b");
    cr_expect(b && ((const float *)b->data)[5] == 11);
    rt_weights_close(w);

    char *dir = temp_dir();
    copy_into(dir, "sharded/pytorch_model-00001-of-00002.bin", first);
    weights_refused(dir, SSMC_BAD_FILE, "pytorch_model.bin.index.json, which says what each holds");
    copy_into(dir, "sharded/pytorch_model.bin.index.json", index);
    weights_refused(dir, SSMC_IO, "pytorch_model-00002-of-00002.bin: No such file");
    copy_into(dir, "sharded/pytorch_model-00001-of-00002.bin", second);
    weights_refused(dir, SSMC_BAD_FILE,
                    "tensor 'b' is in pytorch_model-00002-of-00002.bin, but it is not");
    copy_into(dir, "deflated.bin", second);
    weights_refused(dir, SSMC_BAD_FILE, "00002-of-00002.bin: its entry|is compressed");
    copy_into(dir, "sharded/pytorch_model-00002-of-00002.bin", second);
    copy_into(dir, "float32.bin", "pytorch_model.bin"); /* which lacks b and c */
    w = weights_of(dir);
    cr_expect_eq(rt_weights_count(w), 3);
    cr_expect_str_eq(rt_weights_note(w),
                     "the files of pytorch_model.bin.index.json are taken, not pytorch_model.bin: "
                     "it lacks tensor 'b'");
    rt_weights_close(w);
    temp_dir_remove(dir);
}

/* ---- the command --------------------------------------------------------------------------- */

/* What lies in the mapping is the same whichever the file: the numbers are equal bit by bit. */
Test(torch, a_model_gives_the_numbers_of_its_safetensors)
{
    static const int64_t tokens[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3};
    char *dir = temp_dir(), *ids = path_join(dir, "ids"), *other = path_join(dir, "model");
    char *weights = path_join(other, "model.safetensors");
    char *out[2] = {path_join(dir, "out0"), path_join(dir, "out1")};
    const RtTensor t = {
        .name = "ids_0",
        .dtype = "I64",
        .rank = 2,
        .dim = {2, 5},
        .data = tokens,
        .bytes = sizeof tokens
    };
    cr_assert_eq(rt_tensors_write(ids, &t, 1), SSMC_OK);
    cr_assert_eq(mkdir(other, 0700), 0);
    copy_into(other, "mamba2/config.json", "config.json");
    RtTensorFile *file = open_file("mamba2/pytorch_model.bin");
    cr_assert_eq(rt_tensors_write(weights, rt_tensors_at(file, 0), rt_tensors_count(file)), SSMC_OK,
                 "%s", ssmc_error());
    rt_tensors_close(file);
    const char *models[] = {DATA "/mamba2", other};
    for (int i = 0; i < 2; i++) {
        CommandResult r = command_run(
            ARGS(SSMC_BINARY, "logits", models[i], "--ids", ids, "--out", out[i]), NULL, 0);
        cr_expect_eq(r.status, 0, "%s", r.err);
        cr_expect_str_empty(r.err);
        command_free(&r);
    }
    size_t len[2] = {0};
    char *got[2] = {read_whole(out[0], &len[0]), read_whole(out[1], &len[1])};
    cr_assert(got[0] && got[1] && len[0] == len[1] && len[0] > 2 * 5 * 32 * sizeof(float));
    cr_expect_eq(memcmp(got[0], got[1], len[0]), 0);
    for (int i = 0; i < 2; i++) {
        free(got[i]);
        free(out[i]);
    }
    temp_dir_remove(dir);
    free(ids);
    free(other);
    free(weights);
}

Test(torch, the_command_says_what_is_wrong_and_exits_with_2)
{
    static const struct {
        const char *file, *says;
    } cases[] = {
        {"deflated.bin", "is compressed"                                 },
        {"legacy.bin",   "save it again"                                 },
        {"nested.bin",   "data.pkl: byte 18: 'epoch' is an int"          },
        {"module.bin",   "none of its 4 tensors has the name of a weight"},
    };
    char *dir = temp_dir();
    copy_into(dir, "mamba2/config.json", "config.json");
    for (size_t i = 0; i < RT_COUNT(cases); i++) {
        copy_into(dir, cases[i].file, "pytorch_model.bin");
        CommandResult r = command_run(ARGS(SSMC_BINARY, "explain", dir), NULL, 0);
        cr_expect_eq(r.status, 2, "status %d: %s", r.status, r.err);
        cr_expect(strstr(r.err, "pytorch_model.bin"), "%s", r.err);
        cr_expect(strstr(r.err, cases[i].says), "stderr lacks '%s': %s", cases[i].says, r.err);
        command_free(&r);
    }
    write_text(dir, "pytorch_model.bin", "PK\3\4");
    CommandResult r = command_run(ARGS(SSMC_BINARY, "run", dir, "-p", "x"), NULL, 0);
    cr_expect_eq(r.status, 2, "status %d: %s", r.status, r.err);
    command_free(&r);
    temp_dir_remove(dir);
}
