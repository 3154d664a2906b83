// encode compresses a LAS file by LASzip, in the version and by the compressor asked for: encode IN.las OUT.laz VERSION COMPRESSOR CHUNK.
// Built within a checkout of https://github.com/LASzip/LASzip:
//   g++ -Isrc -Iinclude/laszip encode.cpp src/{arithmetic*,integercompressor,laswrite*,laszip,laszipper,mydefs,lasmessage}.cpp
#include "bytestreamin_array.hpp"
#include "lasreaditemraw.hpp"
#include "laszipper.hpp"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

template <typename T> T& at(std::vector<unsigned char>& d, size_t i) { return *reinterpret_cast<T*>(&d[i]); }

int main(int, char** args) {
  std::ifstream f(args[1], std::ios::binary);
  std::vector<unsigned char> d((std::istreambuf_iterator<char>(f)), {});
  const int format = d[104], record = at<U16>(d, 105);
  const U32 points = at<U32>(d, 96);
  const U64 count = at<U64>(d, 247);
  LASzip zip;
  if (!zip.setup(format, record, atoi(args[4]))) return puts(zip.get_error());
  if (atoi(args[4]) > 1) zip.set_chunk_size(atoi(args[5]));
  if (!zip.request_version(atoi(args[3]))) return puts(zip.get_error());
  U8* packed;
  I32 size;
  zip.pack(packed, size);
  std::vector<unsigned char> head(d.begin(), d.begin() + points);
  head.resize(points + 54 + size);
  strcpy(reinterpret_cast<char*>(&head[points + 2]), "laszip encoded");
  at<U16>(head, points + 18) = 22204;
  at<U16>(head, points + 20) = size;
  memcpy(&head[points + 54], packed, size);
  at<U32>(head, 96) = points + 54 + size;
  at<U32>(head, 100) += 1;
  head[104] |= 0x80;
  std::ofstream out(args[2], std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<char*>(head.data()), head.size());
  LASzipper writer;
  if (!writer.open(out, &zip)) return puts(writer.get_error());
  std::vector<std::vector<unsigned char>> items;
  std::vector<unsigned char*> point;
  for (int i = 0; i < zip.num_items; i++) items.emplace_back(zip.items[i].size + 128);
  for (auto& i : items) point.push_back(i.data());
  for (U64 k = 0; k < count; k++) {
    const unsigned char* raw = &d[points + k * record];
    for (int i = 0; i < zip.num_items; raw += zip.items[i++].size) {
      if (zip.items[i].type == LASitem::POINT14) {
        ByteStreamInArrayLE in(raw, zip.items[i].size);
        LASreadItemRaw_POINT14_LE reader;
        reader.init(&in);
        U32 context = 0;
        reader.read(point[i], context);
      } else {
        memcpy(point[i], raw, zip.items[i].size);
      }
    }
    if (!writer.write(point.data())) return puts(writer.get_error());
  }
  return writer.close() ? 0 : puts(writer.get_error());
}
