"""Images alone, in groups: clusters of voxels, which are named only when they are evaluated."""
