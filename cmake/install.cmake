# What `cmake --install` puts into a prefix, in three components, which are cpack's packages: the library (lib), what
# programs are built with (dev), and the command (ssmc). Nothing installed knows its prefix: it may be moved.

# Debian's libraries are in lib/<triplet>, below /usr and /usr/local alike, and tools look there in any other prefix:
# so one build makes packages and local installations. -DCMAKE_INSTALL_LIBDIR=lib says otherwise.
if(CMAKE_LIBRARY_ARCHITECTURE)
  set(CMAKE_INSTALL_LIBDIR lib/${CMAKE_LIBRARY_ARCHITECTURE} CACHE PATH "object code libraries")
endif()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# ---- made of the tables -----------------------------------------------------------------------------------------
set(gen_dir ${CMAKE_BINARY_DIR}/gen)
file(MAKE_DIRECTORY ${gen_dir})
file(GLOB gen_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/driver/gen/*.c)
foreach(part driver/options driver/words driver/say compiler/tell)
  list(APPEND gen_sources ${CMAKE_SOURCE_DIR}/${part}.c)
endforeach()
add_executable(ssmc_gen ${gen_sources})
target_link_libraries(ssmc_gen PRIVATE ssmc_frontend ssmc_runtime)
target_compile_definitions(ssmc_gen PRIVATE SSMC_VERSION="${PROJECT_VERSION}" SSMC_SOVERSION="${PROJECT_VERSION_MAJOR}")
# The pages are packed as Debian wants them: without a name or time inside. Those of rows that are gone go first.
add_custom_command(OUTPUT ${gen_dir}/libssmc.map VERBATIM
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${gen_dir}/man1 ${gen_dir}/man3 ${gen_dir}/man5
  COMMAND ssmc_gen ${CMAKE_SOURCE_DIR}/runtime/ssmc.h ${gen_dir}
  COMMAND gzip -9nr ${gen_dir}/man1 ${gen_dir}/man3 ${gen_dir}/man5
  DEPENDS ssmc_gen ${CMAKE_SOURCE_DIR}/runtime/ssmc.h
  COMMENT "Writing what is installed of the tables")

# ---- the library ------------------------------------------------------------------------------------------------
# Of the objects that are linked into compiled models, too.
add_library(ssmc_shared SHARED $<TARGET_OBJECTS:ssmc_product_runtime> ${gen_dir}/libssmc.map)
add_library(ssmc_static STATIC $<TARGET_OBJECTS:ssmc_product_runtime>)
set_target_properties(ssmc_shared ssmc_static PROPERTIES LINKER_LANGUAGE C OUTPUT_NAME ssmc
  ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set_target_properties(ssmc_shared PROPERTIES EXPORT_NAME ssmc VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
  LINK_DEPENDS ${gen_dir}/libssmc.map)
set_target_properties(ssmc_static PROPERTIES EXPORT_NAME ssmc_static)
target_link_libraries(ssmc_shared PRIVATE ${JSONC_LINK_LIBRARIES} Threads::Threads m ${CMAKE_DL_LIBS})
target_link_options(ssmc_shared PRIVATE -Wl,--version-script=${gen_dir}/libssmc.map -Wl,-z,defs,-z,relro,-z,now)
target_link_libraries(ssmc_static INTERFACE json-c Threads::Threads m ${CMAKE_DL_LIBS})
foreach(target ssmc_shared ssmc_static)
  target_include_directories(${target} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()
install(TARGETS ssmc_shared EXPORT ssmc LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT lib NAMELINK_COMPONENT dev)
install(TARGETS ssmc_static EXPORT ssmc ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)

# ---- what programs are built with ---------------------------------------------------------------------------------
install(FILES ${CMAKE_SOURCE_DIR}/runtime/ssmc.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev)
install(DIRECTORY ${gen_dir}/man3 DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT dev)
file(RELATIVE_PATH pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_SOURCE_DIR}/cmake/package/ssmc.pc.in ${CMAKE_BINARY_DIR}/package/ssmc.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/package/ssmc.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ssmc)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/package/ssmcConfig.cmake.in
  ${CMAKE_BINARY_DIR}/package/ssmcConfig.cmake INSTALL_DESTINATION ${config_dir} PATH_VARS CMAKE_INSTALL_BINDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/package/ssmcConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/package/ssmcConfig.cmake ${CMAKE_BINARY_DIR}/package/ssmcConfigVersion.cmake
  ${CMAKE_SOURCE_DIR}/cmake/package/ssmcAddModel.cmake DESTINATION ${config_dir} COMPONENT dev)
install(EXPORT ssmc FILE ssmcTargets.cmake NAMESPACE ssmc:: DESTINATION ${config_dir} COMPONENT dev)

# ---- the command --------------------------------------------------------------------------------------------------
install(TARGETS ssmc RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ssmc)
install(DIRECTORY ${gen_dir}/man1 ${gen_dir}/man5 DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT ssmc)
install(DIRECTORY ${gen_dir}/bash/ DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT ssmc)
install(DIRECTORY ${gen_dir}/zsh/ DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions COMPONENT ssmc)
