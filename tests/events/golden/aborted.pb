
$0d1f7a36-6f1b-4b4c-9d0e-0f5b3c1a2e77*$0d1f7a36-6f1b-4b4c-9d0e-0f5b3c1a2e77"PEARLPAY(2CREDITOR_ACCOUNT_CLOSED:hkfpsB	mo-hk-hkdZ·¨èÿb‚¨èÿj$0d1f7a36-6f1b-4b4c-9d0e-0f5b3c1a2e77