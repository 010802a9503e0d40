# `cpack -G DEB` in the build folder: libssmc0, libssmc-dev and ssmc. What they need of other packages is read off
# their files, but for what programs that use them are built with.
set(CPACK_PACKAGE_NAME ssmc)
set(CPACK_PACKAGE_CONTACT "ssmc authors <ssmc@ssmc.invalid>" CACHE STRING "who answers for packages: Name <address>")
set(CPACK_GENERATOR DEB)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ
  WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL lib dev ssmc)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
# Copyright and changelog, which Debian wants in each package, and an installation by hand does not.
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/cmake/package/debian-docs.cmake)
set(CPACK_SSMC_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)

set(lib_package libssmc${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_LIB_PACKAGE_NAME ${lib_package})
set(CPACK_DEBIAN_LIB_PACKAGE_SECTION libs)
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_SOURCE_DIR}/cmake/package/debian-depends.cmake)
set(CPACK_SSMC_LIBRARY ${CMAKE_BINARY_DIR}/lib/libssmc.so.${PROJECT_VERSION})
set(CPACK_BINARY_DIR ${CMAKE_BINARY_DIR})
set(CPACK_DEBIAN_LIB_PACKAGE_CONTROL_EXTRA ${gen_dir}/debian/symbols ${gen_dir}/debian/shlibs
  ${CMAKE_SOURCE_DIR}/cmake/package/triggers)
set(CPACK_COMPONENT_LIB_DESCRIPTION "runtime of compiled state-space language models
Runs language models that ssmc compiled: batches of sequences of any lengths,
states that are saved, forked and rewound, sampling. It needs neither LLVM
nor the descriptions that models were compiled from.")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME libssmc-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "${lib_package} (= ${PROJECT_VERSION}), libjson-c-dev, libc6-dev")
set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS "ssmc, pkg-config, cmake")
set(CPACK_COMPONENT_DEV_DESCRIPTION "runtime of compiled state-space language models (development files)
The header ssmc.h with its manual, the static library, and what pkg-config and
CMake know of them: its function ssmc_add_model makes a library of a model,
with the command of the package ssmc.")

set(CPACK_DEBIAN_SSMC_PACKAGE_NAME ssmc)
set(CPACK_DEBIAN_SSMC_PACKAGE_SECTION science)
set(CPACK_DEBIAN_SSMC_PACKAGE_SHLIBDEPS ON)
# Linking a model to a program takes static libraries; OpenBLAS is opened where a projection calls it.
set(CPACK_DEBIAN_SSMC_PACKAGE_RECOMMENDS "gcc, libc6-dev, libjson-c-dev, libpcre2-dev, libutf8proc-dev, libopenblas0")
set(CPACK_DEBIAN_SSMC_PACKAGE_SUGGESTS "libssmc-dev, bash-completion, gcc-${other}-linux-gnu")
string(REPLACE "_" "-" CPACK_DEBIAN_SSMC_PACKAGE_SUGGESTS "${CPACK_DEBIAN_SSMC_PACKAGE_SUGGESTS}")
set(CPACK_COMPONENT_SSMC_DESCRIPTION "compiler for state-space language models
Compiles descriptions and published checkpoints of Mamba-2 models to native
code, and runs them or makes libraries and programs of them. It chooses the
form and chunk length of every state-space operator, and fuses the rest.")
include(CPack)
