// Says what to install where the compiler would only say that a header is missing.
#if !__has_include(<hdf5.h>) || !__has_include(<libdeflate.h>)
#error "HDF5 or libdeflate is missing. Debian, Ubuntu: apt install libhdf5-dev libdeflate-dev"
#error "Fedora: dnf install hdf5-devel libdeflate-devel. macOS: brew install hdf5 libdeflate"
#error "To build a program that does not read HDF5 files, set CGO_ENABLED=0"
#endif
