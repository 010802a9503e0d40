# What `ssmc compile --emit so|lib|exe` links into its products: the runtime and the main of programs, position-
# independent, never sanitised, as build/lib/ssmc/ARCH/libssmc_{runtime,exe}.a. The command finds them beside itself,
# or in ../lib/ssmc/ARCH when it is installed. Sources whose names a test of ours or another folder may add are found
# by folder; an archive's unused members stay out of the product.
file(GLOB product_runtime CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/runtime/*.c ${CMAKE_SOURCE_DIR}/runtime/cuda/*.c)
file(GLOB product_exe CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/driver/exe/*.c)
foreach(part driver/options driver/words driver/say driver/running compiler/tell)
  list(APPEND product_exe ${CMAKE_SOURCE_DIR}/${part}.c)
endforeach()
file(GLOB product_folders CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tokenizer/*.c ${CMAKE_SOURCE_DIR}/ir/*.c)
list(APPEND product_exe ${product_folders})
set(product_flags -O2 -fPIC -ffunction-sections -fdata-sections)

# For this machine, by the project's own compiler.
function(ssmc_product_library name)
  add_library(ssmc_product_${name} STATIC ${ARGN})
  set_target_properties(ssmc_product_${name} PROPERTIES OUTPUT_NAME ssmc_${name} POSITION_INDEPENDENT_CODE ON
    ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/ssmc/${CMAKE_SYSTEM_PROCESSOR})
  target_compile_definitions(ssmc_product_${name} PRIVATE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE)
  target_compile_options(ssmc_product_${name} PRIVATE -Wall -Wextra -Wconversion -Wshadow ${product_flags})
  target_include_directories(ssmc_product_${name} PRIVATE ${CMAKE_SOURCE_DIR} ${JSONC_INCLUDE_DIRS}
    ${PCRE2_INCLUDE_DIRS} ${UTF8PROC_INCLUDE_DIRS})
  add_dependencies(ssmc ssmc_product_${name})
  install(TARGETS ssmc_product_${name} ARCHIVE DESTINATION lib/ssmc/${CMAKE_SYSTEM_PROCESSOR} COMPONENT ssmc)
endfunction()
ssmc_product_library(runtime ${product_runtime})
ssmc_product_library(exe ${product_exe})

# For another architecture, where Debian's cross compiler is installed. Headers of the libraries behind the tokenizer
# and safetensors are the same for every architecture; those of the system come from the cross compiler.
function(ssmc_product_cross arch compiler name)
  set(dir ${CMAKE_BINARY_DIR}/lib/ssmc/${arch})
  set(objects "")
  foreach(source IN LISTS ARGN)
    file(RELATIVE_PATH path ${CMAKE_SOURCE_DIR} ${source})
    string(REPLACE "/" "_" object "${path}")
    set(object ${CMAKE_BINARY_DIR}/cross/${arch}/${object}.o)
    add_custom_command(OUTPUT ${object} DEPENDS ${source} DEPFILE ${object}.d VERBATIM
      COMMAND ${compiler} -std=c11 -DNDEBUG -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE ${product_flags} -I${CMAKE_SOURCE_DIR}
              -idirafter /usr/include -MD -MF ${object}.d -c ${source} -o ${object}
      COMMENT "Building ${path} for ${arch}")
    list(APPEND objects ${object})
  endforeach()
  add_custom_command(OUTPUT ${dir}/libssmc_${name}.a DEPENDS ${objects} VERBATIM
    COMMAND ${CMAKE_COMMAND} -E make_directory ${dir}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${dir}/libssmc_${name}.a
    COMMAND ${arch}-linux-gnu-ar qcsD ${dir}/libssmc_${name}.a ${objects})
  add_custom_target(ssmc_product_${arch}_${name} DEPENDS ${dir}/libssmc_${name}.a)
  add_dependencies(ssmc ssmc_product_${arch}_${name})
  install(FILES ${dir}/libssmc_${name}.a DESTINATION lib/ssmc/${arch} COMPONENT ssmc)
endfunction()
if(CMAKE_SYSTEM_PROCESSOR STREQUAL x86_64)
  set(other aarch64)
else()
  set(other x86_64)
endif()
find_program(SSMC_CROSS_CC ${other}-linux-gnu-gcc)
if(SSMC_CROSS_CC)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/cross/${other})
  ssmc_product_cross(${other} ${SSMC_CROSS_CC} runtime ${product_runtime})
  ssmc_product_cross(${other} ${SSMC_CROSS_CC} exe ${product_exe})
endif()
