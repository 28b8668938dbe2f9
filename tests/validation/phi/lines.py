"""Lines as reports, answers, logs and tables of this field have them, without anything that identifies a patient.

`XXXX` and `___` are what public report collections put in place of names, dates and numbers.
"""

from __future__ import annotations

HARMLESS = """
The heart shadow has a normal size and outline.
No consolidation, no effusion, no pneumothorax.
There is mild degenerative change at T8 and T9.
Disc height is reduced at C5-C6 and C6-C7.
Grade 1 anterolisthesis of L4 on L5; L4/L5 facet arthropathy.
L5-S1 shows a 4 mm protrusion.
The nodule in the right upper lobe measures 3.2 cm.
The lesion measures 1.5 x 2.0 x 3.1 cm.
A 12 x 14 x 9 mm hypodense lesion in segment VII.
Stable 6-7 mm nodule, unchanged over 24 months.
Gleason 3+4=7, grade group 2.
Grade 2/3 tear of the medial meniscus.
Strength is 5/5 in both arms, reflexes 2/4.
BI-RADS 4A, Lung-RADS 3, PI-RADS 4/5, TI-RADS 3.
Attenuation of HU 45-60 before and HU 110-130 after contrast.
Density of -850 to -910 HU is consistent with emphysema.
TR/TE 2000/30 ms, TI 150 ms, flip angle 15.
FOV 240 x 240 mm, matrix 512 x 512, slice 1.25 mm.
kVp 120, mAs 250, pitch 0.984:1.
T1/T2/FLAIR signal is normal.
Ejection fraction 55-60 %, LVEDD 48 mm.
SUVmax 12.4, previously 10.9.
Discussed by phone. 1.2.840.10008.5.1.4.1.1.2 is the SOP class.
The patient is a 45-year-old woman with chest pain.
Patient is in no acute distress.
Patient: Male, 56 years.
Patient: Stable Condition
Patient history: Chronic Cough
Patient position: Supine, Head First
Name: Left Lung
Name: White Matter
Patient: Young Adult
Patient: Head First, Supine
Patient: Small Bowel Obstruction
Label: Pleural Effusion
Dr. XXXX was notified at XXXX.
XXXX-year-old male with XXXX.
The findings were discussed with Dr. ___ by phone.
Comparison: None.
Comparison: XXXX
Technique: PA and lateral views.
MR Brain without contrast.
MR Angiography of the neck.
DR Chest PA view.
MS plaques in the periventricular white matter.
Mr and CT scans were fused.
Blood pressure 120/80, heart rate 72, SpO2 98 %.
pH 7.35-7.45, lactate 1.2-2.4.
WBC 12.4 x 10^9/L; Hb 13.5 g/dL; platelets 250,000.
The mean cell count is 1,234,567 per image.
There are 1250 cells in a field of 1920 x 1080 pixels.
Cell 12345 touches the border.
Visual acuity 20/40 in the right eye, 20/200 in the left.
Cup-to-disc ratio 0.3/0.4.
ETDRS 35, NPDR grade 2.
Gestational age 32+4 weeks, BPD 82 mm, AoP 95.4.
Ultrasound at 12-14 weeks.
Karyotype 46,XX,t(9;22)(q34;q11.2).
mRNA 12345 was not detected.
The tumour is ER 8/8, PR 6/8, HER2 2+.
ICD-10 C50.911, SNOMED 254837009.
A: Cyst, B: Tumor, C: Abscess, D: None of the above
B
Cyst; Tumor
42
[[12, 34, 56, 78]]
[[123, 456, 789, 1012], [1, 2, 3, 4]]
[[10, 20, 30, 40], [1990, 12, 31, 2021]]
{"chromosome 1": [[120, 340, 156, 410]]}
123 456 789 1012
(123, 456) to (789, 1012)
<box>[[312, 455, 1200, 980]]</box>
Mean IoU 0.734, F1@0.5 0.812, mAP@0.5:0.95 0.41.
precision@k and recall@k at k=10
Accuracy 95.3 % [94.1, 96.4], p = 0.0012.
Scores rose from 0.61 to 0.734 (20 %).
Published between 1990 and 2020; FLARE 2025 Task 5.
seed 2025, 1000 resamples
BUSI_31415.png
imagesTr/BUSI_31415.png
imagesVal/bone_marrow_00079.jpg
IU-XRay_CXR9271_IM-8182-0
cell_00001.png, cell_00002.png
ISIC_0024306.jpg
patient64541/study1/view1_frontal.jpg
case_00012_slice_034.png
icon@2x.png
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
sha256:9f86d081884c7d659a2feaa15a2ad5a3
550e8400-e29b-41d4-a716-446655440000
12345678-1234-1234-1234-123456789012
1.2.840.10008.5.1.4.1.1.2
1.2.840.113619.2.55.3.2831.183.1234567
commit d468fea1b2c3d4e5f60718293a4b5c6d7e8f9012
InternVL3-8B, Qwen2.5-VL-7B, torch 2.6.0+cu124
tifffile==2026.3.3
pillow>=11.1.0, numpy 2.2.1
version 1.12.2024
CUDA 12.4, driver 550.54.15
nvcr.io/nvidia/pytorch:24.10-py3
ubuntu@sha256:9f86d081884c7d65
127.0.0.1:8080
10.1109/TMI.2021.3059968
arXiv:2504.10479v3
https://example.org/2021/03/04/post
2026-11-26 12:38:00,123 INFO mevlip: 54 of 54 questions
2026-11-26 12:38:00 WARNING image missing
2026-11-26T12:38:00.123456789Z mevlip: scanning: 5 of 10 files
[2026-11-26 12:38:00] loading adapter classification
[INFO|trainer.py:123] 2026-11-26 12:00:00,123 >> saving
INFO 2026-11-26 12:38:00 step 100 of 7944373760 parameters
loss 1.2345e-05 after 100-200-300 steps
took 12:34:56, 7.8 s, at most 604 MiB
-m 28G --gpus device=0 --user 12345:0
Reported by two radiologists; reviewed by National Cancer Institute staff.
Read by the model in 0.5 s.
Signed distance: Left Side
Miss Rate 0.12, Area Under Curve 0.93
The doctor may order a CT; may 20 of 30 readers agree.
Rows 20250101 and 20250102 of the table
Call the function predict 3 times; on call 24/7.
Contact the organizers through the forum.
Phone-like sizes 512-512, 100-2000.
x^2 + y^2, 10^9, a^b
Author summary: Deep Learning Models
Physician: not stated
Patient name: withheld
Patient ID: XXXX
Patient number 12 of 40
Accession: none
DOB: unknown
Account for 30 % of all lesions.
Unit: mm
""".strip().splitlines()
