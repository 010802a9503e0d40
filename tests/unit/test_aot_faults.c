/* tests/unit/test_aot_faults.c -- compiled models: what is refused, and in which words. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/aot.h"

#define FAULT(args, ...) aot_fault(2, args, ARGS(__VA_ARGS__))

Test(aot_faults, usage)
{
    FAULT(ARGS("compile", AOT_SMALL, "--emit", "so"), "--emit so wants a name", "-o FILE");
    FAULT(ARGS("compile", AOT_SMALL, "--emit", "exe", "-o", "/tmp/x", "--header", "h.h"),
          "--header goes with --emit so, lib or obj, not exe");
    FAULT(ARGS("compile", AOT_SMALL, "--emit", "so", "-o", "/tmp/x", "--weights", "inside"),
          "--weights wants external or embed, not 'inside'");
    FAULT(ARGS("compile", AOT_SMALL, "--emit", "plan", "--weights", "embed"),
          "--weights goes with --emit so, lib, exe or obj, not plan");
    FAULT(ARGS("compile", AOT_SMALL, "--emit", "so", "-o", "/tmp/x", "--stop-after", "fuse"),
          "--stop-after goes with --emit graph, not so");
    FAULT(ARGS("compile", AOT_SMALL, "--depfile", "m.d"), "--depfile goes with --emit so");
    FAULT(ARGS("compile", AOT_SMALL, "--blas", "some"), "--blas wants auto or none, not 'some'");
    FAULT(ARGS("compile", AOT_SMALL, "--emit", "exe", "-o", "/tmp/x"),
          "says no tokenizer, and a program needs one");
}

Test(aot_faults, cpus)
{
    FAULT(ARGS("compile", AOT_SMALL, "--emit", "so", "-o", "/tmp/x", "--cpu", "znver4,neoverse-n1"),
          "znver4 is x86_64", "neoverse-n1 is aarch64", "one file is for one architecture");
    FAULT(ARGS("compile", AOT_SMALL, "--emit", "so", "-o", "/tmp/x", "--cpu", "znver4,znver4"),
          "--cpu names znver4 twice");
    FAULT(ARGS("compile", AOT_SMALL, "--emit", "so", "-o", "/tmp/x", "--cpu", "znver4,"),
          "unknown CPU");
    FAULT(ARGS("compile", AOT_SMALL, "--emit", "asm", "--cpu", "znver4,znver3"),
          "several CPUs go into one file");
    FAULT(ARGS("run", AOT_STORY, "-p", "x", "--cpu", "znver4,znver3"),
          "several CPUs go into one file");
    FAULT(ARGS("explain", AOT_STORY, "--cpu", "znver4,znver3"), "several CPUs go into one file");
}

Test(aot_faults, places)
{
    char *dir = temp_dir(), *pipe = path_join(dir, "pipe");
    FAULT(ARGS("compile", AOT_SMALL, "--emit", "so", "-o", "/nonexistent/m.so"),
          "cannot write /nonexistent/m.so", "No such file");
    FAULT(ARGS("compile", AOT_SMALL, "--emit", "so", "-o", dir), dir, "not a regular file");
    cr_assert_eq(mkfifo(pipe, 0600), 0);
    FAULT(ARGS("compile", AOT_SMALL, "--emit", "so", "-o", pipe), pipe, "not a regular file");
    temp_dir_remove(dir);
    free(pipe);
}

/* A graph whose forms are chosen keeps them, so a product of it cannot promise what --reproducible
 * says. */
Test(aot_faults, forms_that_are_chosen)
{
    char *dir = temp_dir(), *plan = path_join(dir, "plan.ir"), *so = path_join(dir, "m.so");
    aot_ok(ARGS("compile", AOT_SMALL, "--emit", "lowered", "--form", "chunked", "-o", plan));
    FAULT(ARGS("compile", plan, "--emit", "so", "--reproducible", "-o", so),
          "cannot be compiled reproducible any more");
    cr_expect_null(read_whole(so, NULL));
    temp_dir_remove(dir);
    free(plan);
    free(so);
}

/* What is in a directory, beside . and .. */
static int
entries(const char *dir)
{
    CommandResult r = aot_tool(ARGS("ls", "-A", dir));
    int lines = 0;
    for (const char *at = r.out; *at; at++)
        lines += *at == '\n';
    command_free(&r);
    return lines;
}

Test(aot_faults, no_linker)
{
    char *dir = temp_dir(), *out = path_join(dir, "m.so"), *obj = path_join(dir, "m.o");
    CommandResult r = aot_tool(
        ARGS("PATH=/nonexistent", SSMC_BINARY, "compile", AOT_SMALL, "--emit", "so", "-o", out));
    cr_expect_eq(r.status, 1, "%s", r.err);
    cr_expect(strstr(r.err, "there is no cc") && strstr(r.err, "install gcc"), "%s", r.err);
    cr_expect_eq(entries(dir), 0, "something is left behind");
    command_free(&r);
    r = aot_tool(
        ARGS("PATH=/nonexistent", SSMC_BINARY, "compile", AOT_SMALL, "--emit", "obj", "-o", obj));
    cr_expect_eq(r.status, 0, "an object of one CPU needs no tools: %s", r.err);
    cr_expect_eq(entries(dir), 1);
    command_free(&r);
    temp_dir_remove(dir);
    free(out);
    free(obj);
}

Test(aot_faults, what_is_no_compiled_model)
{
    char *dir = temp_dir(), *so = path_join(dir, "m.so"), *empty = path_join(dir, "empty.c");
    FAULT(ARGS("run", "/nonexistent/m.so", "-p", "x"), "cannot open /nonexistent/m.so");
    cr_assert(write_whole(so, "not a library", 13));
    FAULT(ARGS("run", so, "-p", "x"), "cannot open", "m.so");
    cr_assert(write_whole(empty, "int nothing;\n", 13));
    CommandResult r = aot_tool(ARGS("cc", "-shared", "-fPIC", "-o", so, empty));
    cr_assert_eq(r.status, 0, "%s", r.err);
    FAULT(ARGS("run", so, "-p", "x"), "m.so is no compiled model", "ssmc_compiled_1");
    command_free(&r);
    temp_dir_remove(dir);
    free(so);
    free(empty);
}

/* Of a library of another version nothing but the version is read: it may have less than this one
 * knows of. This one ends 4 bytes after it, with a page, and the next page is taken away. */
Test(aot_faults, another_version_is_not_read)
{
    static const char text[] =
        "#include <sys/mman.h>\n"
        "#define PAGE 65536\n"
        "struct { char page[PAGE - 8]; int version, rest; char next[PAGE]; } all\n"
        "    __attribute__((aligned(PAGE))) = {{1}, 1, 0, {1}};\n"
        "__asm__(\".globl ssmc_compiled_1\\nssmc_compiled_1 = all + 65528\\n\");\n"
        "__attribute__((constructor)) static void take_away(void)\n"
        "{\n"
        "    mprotect(all.next, PAGE, PROT_NONE);\n"
        "}\n";
    char *dir = temp_dir(), *so = path_join(dir, "m.so"), *source = path_join(dir, "m.c");
    cr_assert(write_whole(source, text, strlen(text)));
    CommandResult r = aot_tool(ARGS("cc", "-shared", "-fPIC", "-o", so, source));
    cr_assert_eq(r.status, 0, "%s", r.err);
    FAULT(ARGS("run", so, "-p", "x"), "compiled for version 1 of the runtime");
    command_free(&r);
    temp_dir_remove(dir);
    free(so);
    free(source);
}

Test(aot_faults, what_a_compiled_model_cannot)
{
    char *dir = temp_dir();
    char *so = aot_compile(AOT_SMALL, dir, "m.so", ARGS("--emit", "so", "--weights", "embed"));
    FAULT(ARGS("explain", so), "is compiled", "needs the description");
    FAULT(ARGS("compile", so), "is compiled", "needs the description");
    FAULT(ARGS("bench", so), "is compiled", "needs the description");
    FAULT(ARGS("logits", so, "--ids", AOT_IDS, "--out", "/dev/null", "--dtype", "bf16"),
          "is compiled already", "--dtype");
    FAULT(ARGS("logits", so, "--ids", AOT_IDS, "--out", "/dev/null", "--set", "vocab=3"),
          "is compiled already", "--set");
    FAULT(ARGS("logits", so, "--ids", AOT_IDS, "--out", "/dev/null", "--threads", "many"),
          "--threads wants 0 to 1024, not 'many'");
    FAULT(ARGS("run", so, "-p", "x"), "has no tokenizer inside");
    FAULT(ARGS("logits", so, "--ids", AOT_IDS, "--out", "/dev/null", "--cpu", "no-such"),
          "has no code for 'no-such'; it has ");
    temp_dir_remove(dir);
    free(so);
}

Test(aot_faults, variants)
{
    char *dir = temp_dir();
#if defined(__x86_64__)
    static const char cpu[] = "sapphirerapids", lacks[] = "avx512fp16";
#else
    static const char cpu[] = "neoverse-n2", lacks[] = "sve2";
#endif
    char *exe = aot_compile(AOT_STORY, dir, "e", ARGS("--emit", "exe", "--cpu", cpu));
    CommandResult r = command_run(ARGS(exe, "-p", "x", "-n", "1"), NULL, 0);
    if (r.status == 0)
        cr_skip("this machine runs code for %s", cpu);
    cr_expect_eq(r.status, 2);
    cr_expect(strstr(r.err, "no code that this machine can run") && strstr(r.err, lacks), "%s",
              r.err);
    command_free(&r);
    r = command_run(ARGS(exe, "-p", "x", "--variant", cpu), NULL, 0);
    cr_expect(strstr(r.err, "cannot run here: this machine lacks"), "%s", r.err);
    command_free(&r);
    r = aot_tool(ARGS("SSMC_VARIANT=z80", exe, "-p", "x"));
    cr_expect(strstr(r.err, "has no code for 'z80'; it has "), "%s", r.err);
    command_free(&r);
    temp_dir_remove(dir);
    free(exe);
}

static void
expect_says(const char *const *argv, int status, const char *says)
{
    CommandResult r = command_run(argv, NULL, 0);
    cr_expect_eq(r.status, status, "%s", r.err);
    cr_expect(strstr(r.err, says), "stderr lacks '%s':\n%s", says, r.err);
    command_free(&r);
}

Test(aot_faults, programs)
{
    char *dir = temp_dir();
    char *embed = aot_compile(AOT_STORY, dir, "e", ARGS("--emit", "exe", "--weights", "embed"));
    expect_says(ARGS(embed), 2, "e: what to continue? give one of");
    expect_says(ARGS(embed, "-p", "x", "--serve-stdin"), 2, "give one of");
    expect_says(ARGS(embed, "-p", "x", "extra"), 2, "unexpected argument 'extra'");
    expect_says(ARGS(embed, "--dtype", "bf16"), 2, "unknown option '--dtype'");
    expect_says(ARGS(embed, "-p", ""), 2, "the prompt is empty");
    expect_says(ARGS(embed, "-p", "abc\xff"), 2, "not UTF-8");
    expect_says(ARGS(embed, "-p", "x", "--top-p", "2"), 2, "must be 0 to 1");
    expect_says(ARGS(embed, "-p", "x", "--threads", "-1"), 2, "--threads wants 0 to 1024");
    expect_says(ARGS(embed, "-p", "x", "--prompt-file", "/nonexistent"), 2, "give one of");
    expect_says(ARGS(embed, "--prompt-file", "/nonexistent"), 2, "/nonexistent");
    expect_says(ARGS(embed, "-p", "x", "--weights", AOT_SMALL), 2, "carries its packed weights");
    CommandResult help = command_run(ARGS(embed, "--help"), NULL, 0);
    cr_expect(help.status == 0 && strstr(help.out, "--serve-stdin") &&
                  !strstr(help.out, "--check-each"),
              "%s", help.out);
    command_free(&help);
    temp_dir_remove(dir);
    free(embed);
}

Test(aot_faults, weights_in_files)
{
    char *dir = temp_dir(), *model = path_join(dir, "model.safetensors");
    char *config = path_join(dir, "config.json"), *so = NULL;
    size_t len = 0, config_len = 0;
    char *bytes = read_whole(AOT_SMALL "/model.safetensors", &len);
    char *text = read_whole(AOT_SMALL "/config.json", &config_len);
    cr_assert(write_whole(model, bytes, len) && write_whole(config, text, config_len));
    so = aot_compile(dir, dir, "m.so", ARGS("--emit", "so"));
    const char *const logits[] = {"logits", so, "--ids", AOT_IDS, "--out", "/dev/null", NULL};
    aot_ok(logits);
    size_t other_len = 0;
    char *other =
        read_whole(SSMC_ROOT "/tests/goldens/mamba2-groups/model.safetensors", &other_len);
    cr_assert(write_whole(model, other, other_len));
    FAULT(logits, "the weights do not fit program", "was compiled for", "in_proj");
    cr_assert(write_whole(model, bytes, len / 2));
    FAULT(logits, "model.safetensors");
    cr_assert_eq(unlink(model), 0);
    CommandResult gone = aot_tool(ARGS("rm", "-f", config));
    FAULT(logits, "has no *.safetensors");
    command_free(&gone);
    temp_dir_remove(dir);
    free(bytes);
    free(text);
    free(other);
    free(model);
    free(config);
    free(so);
}
