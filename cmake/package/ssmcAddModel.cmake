# ssmc_add_model(<target> <model> [STATIC|SHARED] [WEIGHTS embed|external] [CPU <name>...] [BLAS]
#                [OPTIONS <option>...])
#
# A library of a model, compiled ahead of time by `ssmc compile`, with the header <target>.h for whoever links it.
#   model           a YAML file, a checkpoint directory or a graph's text
#   STATIC, SHARED  without either: SHARED where BUILD_SHARED_LIBS is on
#   WEIGHTS         embed (preset): inside the library; external: mapped from the checkpoint when the model is opened
#   CPU             CPUs to compile for (preset: what the model says, else this machine's); the best is chosen at run time
#   BLAS            projections may choose OpenBLAS, which is opened with the model then (libopenblas.so.0)
#   OPTIONS         more options of `ssmc compile`
#
# It is compiled again when the model, its weights, its tokenizer or its blocks change. The target is imported:
# install(IMPORTED_RUNTIME_ARTIFACTS target) installs a shared one, $<TARGET_FILE:target> is the file of either.

# The sort of library, and what a link of it needs.
function(_ssmc_model_kind arg_STATIC arg_SHARED out)
  if(arg_STATIC AND arg_SHARED)
    message(FATAL_ERROR "ssmc_add_model: STATIC and SHARED exclude each other")
  endif()
  if(arg_SHARED OR (BUILD_SHARED_LIBS AND NOT arg_STATIC))
    set(${out} SHARED PARENT_SCOPE)
  else()
    set(${out} STATIC PARENT_SCOPE)
  endif()
endfunction()

# A shared library has what it needs; whoever links a static one must be told.
function(_ssmc_model_links target weights)
  target_link_libraries(${target} INTERFACE Threads::Threads m)
  if(weights STREQUAL external)
    target_link_libraries(${target} INTERFACE json-c)
  endif()
endfunction()

function(ssmc_add_model target model)
  cmake_parse_arguments(PARSE_ARGV 2 arg "STATIC;SHARED;BLAS" "WEIGHTS" "CPU;OPTIONS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "ssmc_add_model: unknown argument '${arg_UNPARSED_ARGUMENTS}'")
  endif()
  if(NOT SSMC_COMMAND)
    message(FATAL_ERROR "ssmc_add_model needs the command ssmc (Debian: the package ssmc); SSMC_COMMAND says where it is")
  endif()
  cmake_path(ABSOLUTE_PATH model)
  if(NOT EXISTS ${model})
    message(FATAL_ERROR "ssmc_add_model: there is no model ${model}")
  endif()
  if(NOT arg_WEIGHTS)
    set(arg_WEIGHTS embed)
  elseif(NOT arg_WEIGHTS MATCHES "^(embed|external)$")
    message(FATAL_ERROR "ssmc_add_model: WEIGHTS is embed or external, not '${arg_WEIGHTS}'")
  endif()
  _ssmc_model_kind(${arg_STATIC} ${arg_SHARED} kind)

  set(dir ${CMAKE_CURRENT_BINARY_DIR}/ssmc/${target})
  set(library ${dir}/${CMAKE_${kind}_LIBRARY_PREFIX}${target}${CMAKE_${kind}_LIBRARY_SUFFIX})
  set(header ${dir}/include/${target}.h)
  file(MAKE_DIRECTORY ${dir}/include)
  set(options --weights ${arg_WEIGHTS} ${arg_OPTIONS})
  if(arg_CPU)
    list(JOIN arg_CPU "," cpus)
    list(APPEND options --cpu ${cpus})
  endif()
  if(NOT arg_BLAS)
    list(APPEND options --blas none)
  endif()
  if(kind STREQUAL SHARED)
    set(emit so)
  else()
    set(emit lib)
  endif()
  add_custom_command(OUTPUT ${library} ${header} VERBATIM
    COMMAND ${SSMC_COMMAND} compile ${model} --emit ${emit} -o ${library} --header ${header} --depfile ${library}.d
            ${options}
    DEPENDS ${model} ${SSMC_COMMAND}
    DEPFILE ${library}.d
    COMMENT "Compiling the model ${target}")
  add_custom_target(${target}_compile DEPENDS ${library} ${header})

  add_library(${target} ${kind} IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION ${library})
  target_include_directories(${target} INTERFACE ${dir}/include)
  add_dependencies(${target} ${target}_compile)
  if(kind STREQUAL SHARED)
    get_filename_component(soname ${library} NAME)
    set_target_properties(${target} PROPERTIES IMPORTED_SONAME ${soname})
  else()
    _ssmc_model_links(${target} ${arg_WEIGHTS})
  endif()
endfunction()
