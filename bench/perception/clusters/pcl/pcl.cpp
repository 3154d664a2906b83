// Euclidean clusters by PCL: pcl POINTS RADIUS LABELS SECONDS reads points (float32 x, y, z), clusters them repeatedly
// for some seconds, writes the label of each (int32) and prints the median processor time in milliseconds.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <vector>

#include <pcl/point_types.h>
#include <pcl/search/kdtree.h>
#include <pcl/segmentation/extract_clusters.h>

int main(int argc, char **argv) {
	if (argc != 5) {
		fprintf(stderr, "usage: pcl POINTS RADIUS LABELS SECONDS\n");
		return 1;
	}
	pcl::PointCloud<pcl::PointXYZ>::Ptr cloud(new pcl::PointCloud<pcl::PointXYZ>);
	FILE *in = fopen(argv[1], "rb");
	if (!in) {
		perror(argv[1]);
		return 1;
	}
	for (float p[3]; fread(p, sizeof(float), 3, in) == 3;)
		cloud->push_back(pcl::PointXYZ(p[0], p[1], p[2]));
	fclose(in);
	std::vector<pcl::PointIndices> clusters;
	std::vector<double> times;
	const clock_t begin = clock();
	do {
		const clock_t start = clock();
		clusters.clear();
		pcl::search::KdTree<pcl::PointXYZ>::Ptr tree(new pcl::search::KdTree<pcl::PointXYZ>);
		tree->setInputCloud(cloud);
		pcl::EuclideanClusterExtraction<pcl::PointXYZ> extraction;
		extraction.setClusterTolerance(atof(argv[2]));
		extraction.setMinClusterSize(1);
		extraction.setMaxClusterSize(std::numeric_limits<int>::max());
		extraction.setSearchMethod(tree);
		extraction.setInputCloud(cloud);
		extraction.extract(clusters);
		times.push_back(1e3 * (clock() - start) / CLOCKS_PER_SEC);
	} while (clock() - begin < atof(argv[4]) * CLOCKS_PER_SEC);
	std::vector<int32_t> label(cloud->size(), -1);
	for (size_t i = 0; i < clusters.size(); i++)
		for (int p : clusters[i].indices)
			label[p] = i;
	FILE *out = fopen(argv[3], "wb");
	if (!out || fwrite(label.data(), sizeof(int32_t), label.size(), out) != label.size() || fclose(out)) {
		perror(argv[3]);
		return 1;
	}
	std::sort(times.begin(), times.end());
	printf("%g\n", times[times.size() / 2]);
}
