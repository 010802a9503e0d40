/* tests/unit/test_install_debs.c -- Debian's packages: what they say they need, and what they are
 * worth once dpkg has put them below a root of the test's own. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/aot.h"
#include "tests/install.h"

#define PROJECT SSMC_ROOT "/tests/data/install"
#define VERSION SSMC_VERSION

typedef struct {
    char *dir, *root;
    char *deb[3]; /* of the library, of what programs are built with, of the command */
} Debs;
enum { LIB, DEV, COMMAND };

/* The words of the output of a tool, which must be one line. */
static char *
line_of(const char *const *args)
{
    char *text = tool_ok(args);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static Debs
debs_new(void)
{
    static const char *const names[] = {"libssmc0", "libssmc-dev", "ssmc"};
    Debs d = {.dir = temp_dir()};
    char *arch = line_of(ARGS("dpkg", "--print-architecture"));
    d.root = path_join(d.dir, "root");
    tool_free(
        ARGS(SSMC_CPACK, "--config", SSMC_BUILD "/CPackConfig.cmake", "-G", "DEB", "-B", d.dir));
    for (size_t i = 0; i < 3; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s_%s_%s.deb", names[i], VERSION, arch);
        d.deb[i] = path_join(d.dir, name);
        cr_assert_eq(access(d.deb[i], R_OK), 0, "there is no %s", name);
    }
    free(arch);
    return d;
}

/* dpkg's own tables, empty, and then the packages. What they depend on is the machine's. */
static Prefix
debs_install(Debs *d)
{
    char *tables = path_join(d->root, "var/lib/dpkg"), *status = path_join(tables, "status");
    char *updates = path_join(tables, "updates"), *info = path_join(tables, "info");
    tool_free(ARGS("mkdir", "-p", updates, info));
    cr_assert(write_whole(status, "", 0));
    char *root = text_replace("--root=@", "@", d->root);
    tool_free(ARGS("dpkg", root, "--force-depends", "--install", d->deb[LIB], d->deb[DEV],
                   d->deb[COMMAND]));
    char *list = tool_ok(ARGS("dpkg-query", root, "-f", "${Package} ${db:Status-Status}\\n", "-W"));
    cr_expect_str_eq(list, "libssmc-dev installed\nlibssmc0 installed\nssmc installed\n");
    free(list);
    free(root);
    free(tables);
    free(status);
    free(updates);
    free(info);
    return prefix_at(d->dir, path_join(d->root, "usr"));
}

static void
debs_end(Debs *d)
{
    for (size_t i = 0; i < 3; i++)
        free(d->deb[i]);
    free(d->root);
}

static void
expect_field(const char *deb, const char *field, const char *const *wants)
{
    char *text = line_of(ARGS("dpkg-deb", "--field", deb, field));
    for (; *wants; wants++)
        cr_expect(strstr(text, *wants), "%s of %s lacks %s: %s", field, deb, *wants, text);
    free(text);
}

static void
expect_fields(const Debs *d)
{
    expect_field(d->deb[LIB], "Depends", ARGS("libc6 (>=", "libjson-c5 (>="));
    expect_field(d->deb[DEV], "Depends", ARGS("libssmc0 (= " VERSION ")", "libjson-c-dev"));
    expect_field(d->deb[COMMAND], "Depends",
                 ARGS("libc6 (>=", "libllvm19", "libyaml-0-2", "libjson-c5", "libmicrohttpd12",
                      "libpcre2-8-0", "libutf8proc2"));
    expect_field(d->deb[COMMAND], "Recommends", ARGS("gcc", "libjson-c-dev", "libopenblas0"));
    char *shlibs = tool_ok(ARGS("dpkg-deb", "--info", d->deb[LIB], "shlibs"));
    cr_expect_str_eq(shlibs, "libssmc 0 libssmc0 (>= " VERSION ")\n");
    char *symbols = tool_ok(ARGS("dpkg-deb", "--info", d->deb[LIB], "symbols"));
    cr_expect(strstr(symbols, "\n ssmc_feed@SSMC_0.1 0.1\n"), "%s", symbols);
    free(shlibs);
    free(symbols);
}

/* With what is below the root, as with a system's own: pkg-config, CMake, man. */
static void
expect_usable(const Debs *d, const Prefix *p)
{
    char *sysroot = text_replace("PKG_CONFIG_SYSROOT_DIR=@", "@", d->root);
    char *prefix = text_replace("-DCMAKE_PREFIX_PATH=@", "@", p->root);
    char *pages = path_join(p->root, "share/man"), *build = path_join(d->dir, "build");
    char *so = path_join(d->dir, "story.so"), *exe = path_join(d->dir, "story");
    char *flags =
        tool_ok(ARGS("env", p->pkg_path, sysroot, "pkg-config", "--cflags", "--libs", "ssmc"));
    tool_free(ARGS(p->ssmc, "compile", AOT_STORY, "--emit", "so", "-o", so));
    cc_with(flags, PROJECT "/story.c", exe);
    expect_story(p, ARGS("env", p->library_path, exe, so));

    tool_free(ARGS(SSMC_CMAKE, "-G", "Ninja", "-S", PROJECT, "-B", build, prefix,
                   "-DCMAKE_C_COMPILER_LAUNCHER=", "-DMODEL=" AOT_STORY, "-DCPUS=native"));
    tool_free(ARGS(SSMC_CMAKE, "--build", build, "--target", "story_teller"));
    char *teller = path_join(build, "story_teller");
    expect_story(p, ARGS(teller));

    char *page = tool_ok(ARGS("man", "-M", pages, "3", "ssmc_feed"));
    cr_expect(strstr(page, "ssmc_status ssmc_feed("), "%s", page);
    free(page);
    free(teller);
    free(flags);
    free(sysroot);
    free(prefix);
    free(pages);
    free(build);
    free(so);
    free(exe);
}

#if defined(__SANITIZE_ADDRESS__)
enum { SANITISED = 1 };
#else
enum { SANITISED = 0 };
#endif

Test(install_debs, packages)
{
    if (geteuid() != 0)
        cr_skip("dpkg installs for root alone");
    if (SANITISED)
        cr_skip("nobody packs a sanitised build, and it takes a minute");
    Debs d = debs_new();
    expect_fields(&d);
    Prefix p = debs_install(&d);
    expect_usable(&d, &p);
    debs_end(&d);
    prefix_end(&p);
}
