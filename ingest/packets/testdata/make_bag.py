"""Makes cloud.bag, a recording of ROS 1 with one sensor_msgs/PointCloud2 of three points (1, 2, 3), (4, 5, 6) and (7, 8, 9) and intensities 10, 20, 30.

usage: python make_bag.py (needs rosbags 0.11 and numpy)
"""
import numpy as np
from rosbags.rosbag1 import Writer
from rosbags.typesys import Stores, get_typestore

types = get_typestore(Stores.ROS1_NOETIC)
Header, Time = types.types["std_msgs/msg/Header"], types.types["builtin_interfaces/msg/Time"]
Cloud, Field = types.types["sensor_msgs/msg/PointCloud2"], types.types["sensor_msgs/msg/PointField"]
points = np.array([[1, 2, 3, 10], [4, 5, 6, 20], [7, 8, 9, 30]], dtype="<f4")
cloud = Cloud(header=Header(seq=3, stamp=Time(sec=1000, nanosec=250000000), frame_id="lidar"), height=1, width=3,
              fields=[Field(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate(("x", "y", "z", "intensity"))],
              is_bigendian=False, point_step=16, row_step=48, data=points.view(np.uint8).reshape(-1), is_dense=True)
with Writer("cloud.bag") as bag:
    connection = bag.add_connection("/points", Cloud.__msgtype__, typestore=types)
    bag.write(connection, 1_000_250_000_000, types.serialize_ros1(cloud, Cloud.__msgtype__))
