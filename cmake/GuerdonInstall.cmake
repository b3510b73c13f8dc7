# cmake --install: the program, the libraries, the headers, and the package that find_package(guerdon) reads.
include(CMakePackageConfigHelpers)
set(guerdon_package ${CMAKE_INSTALL_LIBDIR}/cmake/guerdon)

install(DIRECTORY include/guerdon DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS guerdon_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS guerdon_base_static EXPORT guerdon-base ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
set_target_properties(guerdon_base_static PROPERTIES EXPORT_NAME base)
install(EXPORT guerdon-base NAMESPACE guerdon:: DESTINATION ${guerdon_package})

if(GUERDON_WITH_TORCH)
  install(TARGETS guerdon guerdon_ops EXPORT guerdon-torch LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(TARGETS guerdon_cli LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  if(GUERDON_WITH_CUDA)
    install(TARGETS guerdon_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
    set_target_properties(guerdon_cuda PROPERTIES INSTALL_RPATH "$ORIGIN;${GUERDON_TORCH_LIB}")
  endif()
  set_target_properties(guerdon_ops PROPERTIES EXPORT_NAME ops)
  # Their neighbours move with them; LibTorch stays where it was when this was built.
  set_target_properties(guerdon guerdon_ops guerdon_cli PROPERTIES INSTALL_RPATH "$ORIGIN;${GUERDON_TORCH_LIB}")
  install(EXPORT guerdon-torch NAMESPACE guerdon:: DESTINATION ${guerdon_package})
  install(FILES cmake/GuerdonTorch.cmake DESTINATION ${guerdon_package})
endif()

configure_package_config_file(cmake/guerdonConfig.cmake.in ${PROJECT_BINARY_DIR}/guerdonConfig.cmake
                              INSTALL_DESTINATION ${guerdon_package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/guerdonConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/guerdonConfig.cmake ${PROJECT_BINARY_DIR}/guerdonConfigVersion.cmake
        DESTINATION ${guerdon_package})
