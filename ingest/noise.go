package ingest

// Noise is a model of the random errors of a range sensor: the standard deviation of a distance r in metres is
// Constant + Linear r + Quadratic r^2.
type Noise string

// The models. A frame whose sensor is unknown is taken for one of structured light, as most published depth images are,
// and a point cloud for that of a lidar.
const (
	// NoiseUnknown is the default.
	NoiseUnknown Noise = ""
	// StructuredLight is that of the Kinect of 2010 and similar cameras: 1.6 mm at 1 m, 40 mm at 5 m (Khoshelham and
	// Elberink, "Accuracy and resolution of Kinect depth data for indoor mapping applications", 2012).
	StructuredLight Noise = "structured-light"
	// TimeOfFlight is that of the Kinect of 2013, Azure Kinect and Tango devices: 4 mm at 1 m, 12 mm at 5 m, which is
	// within the 17 mm that the data sheet of the Azure Kinect states.
	TimeOfFlight Noise = "time-of-flight"
	// Stereo is that of two cameras 5 cm apart whose disparities have a standard deviation of 0.08 pixels, such as
	// RealSense D400: 2.5 mm at 1 m, 63 mm at 5 m.
	Stereo Noise = "stereo"
	// Lidar is that of rotating lidars: 15 mm, and 20 mm more at 100 m. Data sheets state 30 mm for Velodyne VLP-16 and
	// HDL-64, and 7 to 50 mm for Ouster OS1, as bounds or standard deviations.
	Lidar Noise = "lidar"
)

// Choices lists the models of depth cameras, with NoiseUnknown as auto.
func (Noise) Choices() []string {
	return []string{"auto", string(StructuredLight), string(TimeOfFlight), string(Stereo)}
}

// ChoiceDoc describes a model.
func (Noise) ChoiceDoc(name string) string {
	switch Noise(name) {
	case StructuredLight:
		return "1.6 mm at 1 m and 40 mm at 5 m: Kinect v1, PrimeSense, Xtion."
	case TimeOfFlight:
		return "4 mm at 1 m and 12 mm at 5 m: Kinect v2, Azure Kinect, Tango."
	case Stereo:
		return "2.5 mm at 1 m and 63 mm at 5 m: RealSense D400."
	}
	return "Chosen by the image size: time-of-flight for the sizes of Azure Kinect and Kinect v2, otherwise " +
		"structured-light."
}

// Valid reports whether the model is one of the list.
func (n Noise) Valid() bool {
	switch n {
	case NoiseUnknown, StructuredLight, TimeOfFlight, Stereo, Lidar:
		return true
	}
	return false
}

// Deviation returns the standard deviation of a distance in metres. It is 0 for an unknown model.
func (n Noise) Deviation(r float64) float64 {
	switch n {
	case StructuredLight:
		return 0.0016 * r * r
	case TimeOfFlight:
		return 0.002 + 0.002*r
	case Stereo:
		return 0.0025 * r * r
	case Lidar:
		return 0.015 + 0.0002*r
	}
	return 0
}
