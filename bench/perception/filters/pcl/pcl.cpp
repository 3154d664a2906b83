// Runs a filter of PCL repeatedly for some seconds, on one core: pcl FILTER POINTS SECONDS RESULT. POINTS holds x, y, z,
// intensity as float32. It writes the points that remain in the same way, or the normals as x, y, z, and prints the
// median processor time in milliseconds.
#include <pcl/features/normal_3d.h>
#include <pcl/filters/radius_outlier_removal.h>
#include <pcl/filters/statistical_outlier_removal.h>
#include <pcl/filters/voxel_grid.h>
#include <pcl/point_types.h>
#include <pcl/search/kdtree.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

using Point = pcl::PointXYZI;
using Cloud = pcl::PointCloud<Point>;

static double milliseconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static Cloud::Ptr read(const char* path) {
  std::ifstream in(path, std::ios::binary);
  Cloud::Ptr cloud(new Cloud);
  float v[4];
  while (in.read(reinterpret_cast<char*>(v), sizeof v)) {
    Point p;
    p.x = v[0], p.y = v[1], p.z = v[2], p.intensity = v[3];
    cloud->push_back(p);
  }
  return cloud;
}

// run appends the result of a filter to values, which it clears.
static void run(const std::string& name, const Cloud::Ptr& cloud, Cloud& out, pcl::PointCloud<pcl::Normal>& normals) {
  if (name == "downsample") {
    pcl::VoxelGrid<Point> f;
    f.setInputCloud(cloud);
    f.setLeafSize(0.2f, 0.2f, 0.2f);
    f.filter(out);
  } else if (name == "outliers-statistical") {
    pcl::StatisticalOutlierRemoval<Point> f;
    f.setInputCloud(cloud);
    f.setMeanK(20);
    f.setStddevMulThresh(2);
    f.filter(out);
  } else if (name == "outliers-radius") {
    pcl::RadiusOutlierRemoval<Point> f;
    f.setInputCloud(cloud);
    f.setRadiusSearch(0.5);
    f.setMinNeighborsInRadius(5);
    f.filter(out);
  } else {
    pcl::NormalEstimation<Point, pcl::Normal> f;
    pcl::search::KdTree<Point>::Ptr tree(new pcl::search::KdTree<Point>);
    f.setInputCloud(cloud);
    f.setSearchMethod(tree);
    f.setKSearch(20);
    f.compute(normals);
  }
}

int main(int argc, char** argv) {
  if (argc != 5) return std::fprintf(stderr, "usage: pcl FILTER POINTS SECONDS RESULT\n"), 2;
  const Cloud::Ptr cloud = read(argv[2]);
  std::vector<double> times;
  Cloud out;
  pcl::PointCloud<pcl::Normal> normals;
  const double end = milliseconds() + 1e3 * std::atof(argv[3]);
  do {
    out.clear(), normals.clear();
    const double start = milliseconds();
    run(argv[1], cloud, out, normals);
    times.push_back(milliseconds() - start);
  } while (milliseconds() < end);
  std::sort(times.begin(), times.end());
  std::printf("%.3f\n", times[times.size() / 2]);
  std::ofstream result(argv[4], std::ios::binary);
  for (const Point& p : out) {
    const float v[] = {p.x, p.y, p.z, p.intensity};
    result.write(reinterpret_cast<const char*>(v), sizeof v);
  }
  for (const pcl::Normal& n : normals) {
    const float v[] = {n.normal_x, n.normal_y, n.normal_z};
    result.write(reinterpret_cast<const char*>(v), sizeof v);
  }
}
